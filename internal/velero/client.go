package velero

import (
	"context"
	"fmt"

	velerov1 "github.com/vmware-tanzu/velero/pkg/apis/velero/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"
)

// Names of the resources of Velero's API that a client may ask for.
const (
	Backups   = "backups"
	Restores  = "restores"
	Schedules = "schedules"
	locations = "backupstoragelocations"
)

// A Client speaks Velero's API in the namespace of its server.
type Client struct{ rest *rest.RESTClient }

// NewClient makes a client for a cluster that has Velero's API.
func NewClient(cfg *rest.Config) (*Client, error) {
	scheme := runtime.NewScheme()
	if err := velerov1.AddToScheme(scheme); err != nil {
		return nil, err
	}
	metav1.AddToGroupVersion(scheme, metav1.Unversioned)
	cfg = rest.CopyConfig(cfg)
	cfg.APIPath = "/apis"
	cfg.GroupVersion = &velerov1.SchemeGroupVersion
	cfg.ContentType, cfg.AcceptContentTypes = runtime.ContentTypeJSON, runtime.ContentTypeJSON
	cfg.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	client, err := rest.RESTClientFor(cfg)
	if err != nil {
		return nil, fmt.Errorf("make a client for Velero's API: %w", err)
	}
	return &Client{client}, nil
}

// Create makes o, and fills it with what the cluster made of it.
func (c *Client) Create(ctx context.Context, resource string, o runtime.Object) error {
	if err := c.rest.Post().Namespace(Namespace).Resource(resource).Body(o).Do(ctx).Into(o); err != nil {
		return fmt.Errorf("create %s: %w", resource, err)
	}
	return nil
}

// Get reads one object into o. The error is that of the API server: it may say that there is none.
func (c *Client) Get(ctx context.Context, resource, name string, o runtime.Object) error {
	return c.rest.Get().Namespace(Namespace).Resource(resource).Name(name).Do(ctx).Into(o)
}

// List reads all objects of a resource into the list.
func (c *Client) List(ctx context.Context, resource string, list runtime.Object) error {
	return c.rest.Get().Namespace(Namespace).Resource(resource).Do(ctx).Into(list)
}

// Delete removes one object. The error is that of the API server: it may say that there is none.
func (c *Client) Delete(ctx context.Context, resource, name string) error {
	return c.rest.Delete().Namespace(Namespace).Resource(resource).Name(name).Do(ctx).Error()
}

// Watch calls see with the object as it is and with each change of it, until see says that it has seen enough or fails. Gone tells that
// the object was removed; o is as it was last. An empty name stands for any object of the resource.
func Watch[T runtime.Object](ctx context.Context, c *Client, resource, name string, see func(o T, gone bool) (bool, error)) error {
	selector := fields.Everything()
	if name != "" {
		selector = fields.OneTermEqualSelector(metav1.ObjectNameField, name)
	}
	var none T
	list := cache.NewListWatchFromClient(c.rest, resource, Namespace, selector)
	_, err := watchtools.UntilWithSync(ctx, list, none, nil, func(e watch.Event) (bool, error) {
		o, ok := e.Object.(T)
		if !ok {
			return false, nil
		}
		return see(o, e.Type == watch.Deleted)
	})
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return err
}
