package velero

import (
	"context"
	"errors"
	"fmt"
	"time"

	v1crds "github.com/vmware-tanzu/velero/config/crd/v1/crds"
	v2crds "github.com/vmware-tanzu/velero/config/crd/v2alpha1/crds"
	velerov1 "github.com/vmware-tanzu/velero/pkg/apis/velero/v1"
	"github.com/vmware-tanzu/velero/pkg/install"
	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// component labels what `velero install` makes.
var component = map[string]string{"component": "velero"}

// own labels what tells the server of its store. It stays out of backups, for the credentials are no secret in a bucket, and each cluster has its
// own. Excluding the namespace would do more than that: a backup that excludes any leaves out cluster-scoped objects, unless they are asked for.
var own = map[string]string{"component": "velero", excluded: "true"}

const excluded = velerov1.ExcludeFromBackupLabel

// namespaceLabels let the pods that `velero install` makes in where Pod Security is enforced.
func namespaceLabels() map[string]string { return install.Namespace(Namespace).Labels }

// servedInterval is how often discovery is asked for Velero's API, which no watch tells.
const servedInterval = 50 * time.Millisecond

// install makes what `velero install` makes, with the Deployment that deploy makes, which has no replica.
// What is there already, as in a cluster that was restored with it, is used, and told of the store anew.
func (s *Server) install(ctx context.Context, o Options, deploy func(context.Context, kubernetes.Interface) error) error {
	cfg, store := o.Config, o.Store
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return installAPI(gctx, cfg) })
	g.Go(func() error {
		_, err := client.CoreV1().Namespaces().Create(gctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: Namespace, Labels: namespaceLabels()}}, metav1.CreateOptions{})
		if err := ignoreExists(err); err != nil {
			return fmt.Errorf("create namespace %s: %w", Namespace, err)
		}
		if err := putCredentials(gctx, client, store.credentialsFile()); err != nil {
			return err
		}
		return deploy(gctx, client)
	})
	if err := g.Wait(); err != nil {
		return err
	}
	return s.putLocation(ctx, store)
}

// installAPI returns when all of Velero's resources are served.
func installAPI(ctx context.Context, cfg *rest.Config) error {
	client, err := dynamic.NewForConfig(cfg)
	if err != nil {
		return err
	}
	var crds []*apiextensionsv1.CustomResourceDefinition
	crds = append(append(crds, v1crds.CRDs...), v2crds.CRDs...)
	served := map[string][]string{}
	g, gctx := errgroup.WithContext(ctx)
	for _, crd := range crds {
		for _, v := range crd.Spec.Versions {
			group := crd.Spec.Group + "/" + v.Name
			served[group] = append(served[group], crd.Spec.Names.Plural)
		}
		g.Go(func() error {
			content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(crd)
			if err != nil {
				return err
			}
			delete(content, "status")
			u := &unstructured.Unstructured{Object: content}
			u.SetLabels(component)
			_, err = client.Resource(apiextensionsv1.SchemeGroupVersion.WithResource("customresourcedefinitions")).Create(gctx, u, metav1.CreateOptions{})
			if err := ignoreExists(err); err != nil {
				return fmt.Errorf("create CustomResourceDefinition %s: %w", crd.Name, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	disco, err := discovery.NewDiscoveryClientForConfig(cfg)
	if err != nil {
		return err
	}
	// The server looks once, and gives up when one of its resources is not there.
	var missing error
	err = wait.PollUntilContextCancel(ctx, servedInterval, true, func(ctx context.Context) (bool, error) {
		missing = nil
		for group, plurals := range served {
			list, err := disco.ServerResourcesForGroupVersion(group)
			if err != nil {
				missing = err
				return false, nil
			}
			there := map[string]bool{}
			for _, r := range list.APIResources {
				there[r.Name] = true
			}
			for _, plural := range plurals {
				if !there[plural] {
					missing = fmt.Errorf("%s of %s is not served", plural, group)
				}
			}
		}
		return missing == nil, nil
	})
	if err != nil {
		return fmt.Errorf("wait for Velero's API: %w", errors.Join(context.Cause(ctx), missing))
	}
	return nil
}

// putDeployment makes the Deployment in which Velero's restore looks up its own image, where the server runs beside the cluster.
func putDeployment(ctx context.Context, client kubernetes.Interface) error {
	labels, none := map[string]string{"deploy": "velero", velerov1.ExcludeFromBackupLabel: "true"}, int32(0)
	o := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: "velero", Labels: own},
		Spec: appsv1.DeploymentSpec{
			Replicas: &none,
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "velero", Image: "velero/velero"}}},
			},
		},
	}
	_, err := client.AppsV1().Deployments(Namespace).Create(ctx, o, metav1.CreateOptions{})
	if err := ignoreExists(err); err != nil {
		return fmt.Errorf("create Deployment velero: %w", err)
	}
	return nil
}

// credentialsFile is the content of AWS's file of that name.
func (s Store) credentialsFile() string {
	return fmt.Sprintf("[default]\naws_access_key_id=%s\naws_secret_access_key=%s\n", s.AccessKey, s.SecretKey)
}

// putCredentials writes the Secret from which `velero install` mounts the file, anew when it is there.
func putCredentials(ctx context.Context, client kubernetes.Interface, content string) error {
	o := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: CredentialsSecret, Labels: own},
		Type:       corev1.SecretTypeOpaque, Data: map[string][]byte{credentialsKey: []byte(content)},
	}
	secrets := client.CoreV1().Secrets(Namespace)
	_, err := secrets.Create(ctx, o, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		_, err = secrets.Update(ctx, o, metav1.UpdateOptions{})
	}
	if err != nil {
		return fmt.Errorf("write Secret %s: %w", CredentialsSecret, err)
	}
	return nil
}

// putLocation makes the BackupStorageLocation anew, so that what its status says is said by the server that is about to start.
//
// It is made with the phase Available, as an export of another cluster's has it: Velero lists its store once when it starts and then once
// a minute, whatever backupSyncPeriod says, and passes over a location that was not validated yet. The server validates it all the same.
//
// It names no credentials: those are in the file that the server's environment names, as `velero install` has it. Velero writes named ones to a file
// each time that it uses them, and reads half of it where two of its controllers do so at the same time.
func (s *Server) putLocation(ctx context.Context, store Store) error {
	if err := s.Delete(ctx, locations, Location); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("remove BackupStorageLocation %s: %w", Location, err)
	}
	return s.Create(ctx, locations, &velerov1.BackupStorageLocation{
		ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: Location, Labels: own},
		Spec: velerov1.BackupStorageLocationSpec{
			Provider: "aws", Default: true,
			Config:      map[string]string{"region": store.Region, "s3ForcePathStyle": "true", "s3Url": store.Endpoint},
			StorageType: velerov1.StorageType{ObjectStorage: &velerov1.ObjectStorageLocation{Bucket: store.Bucket, CACert: store.CA}},
		},
		Status: velerov1.BackupStorageLocationStatus{Phase: velerov1.BackupStorageLocationPhaseAvailable},
	})
}

func ignoreExists(err error) error {
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}
