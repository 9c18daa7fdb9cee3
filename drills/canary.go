package drills

import (
	"context"
	"errors"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/restore-drill/restore-drill/fixtures"
	"github.com/restore-drill/restore-drill/internal/ledger"
)

// DrillLabel marks the objects that a drill makes for its own use in the restored cluster. The fidelity profiles know it.
const DrillLabel = "restoredrill.io/drill"

const canaryName = "restore-drill-canary"

// identityTimeout bounds how long a restored API server may take to know an old token. It depends on no controller.
const identityTimeout = time.Minute

// electedLeaders are the leases that a working control plane holds.
var electedLeaders = []string{"kube-controller-manager", "kube-scheduler"}

// A canary shows that a restored cluster does more than answer: it takes a write, its controllers roll a Deployment out, and
// it knows a token that was minted before the failure.
type canary struct {
	token string
	// leaders that held the leases before the failure.
	leaders map[string]string
}

// newCanary mints the token and notes who leads, on the source cluster.
func newCanary(ctx context.Context, cfg *rest.Config) (*canary, error) {
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return nil, err
	}
	c := &canary{}
	err = poll(ctx, func() error {
		request, err := client.CoreV1().ServiceAccounts(ledger.Namespace).CreateToken(ctx, "default",
			&authenticationv1.TokenRequest{}, metav1.CreateOptions{})
		if err == nil {
			c.token = request.Status.Token
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("mint a token: %w", err)
	}
	// A leader is needed to tell a new one from; the objects have to be admitted, or their absence later would say nothing.
	dry := metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}
	return c, errors.Join(
		poll(ctx, func() (err error) {
			if c.leaders, err = leaders(ctx, client); err == nil && len(c.leaders) < len(electedLeaders) {
				err = fmt.Errorf("not all of %v have a leader", electedLeaders)
			}
			return err
		}),
		poll(ctx, func() error {
			_, err := client.AppsV1().Deployments(ledger.Namespace).Create(ctx, canaryDeployment(), dry)
			return err
		}),
		c.authenticate(ctx, cfg))
}

func leaders(ctx context.Context, client kubernetes.Interface) (map[string]string, error) {
	held := map[string]string{}
	for _, name := range electedLeaders {
		lease, err := client.CoordinationV1().Leases(metav1.NamespaceSystem).Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read lease %s: %w", name, err)
		}
		if lease.Spec.HolderIdentity != nil {
			held[name] = *lease.Spec.HolderIdentity
		}
	}
	return held, nil
}

// write creates a ConfigMap and reads it back, in the ledger's namespace, which not every backup brings back.
func (c *canary) write(ctx context.Context, cfg *rest.Config) error {
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return err
	}
	maps := client.CoreV1().ConfigMaps(ledger.Namespace)
	return poll(ctx, func() error {
		_, err := client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
			Name: ledger.Namespace, Labels: map[string]string{DrillLabel: canaryName}}}, metav1.CreateOptions{})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return err
		}
		_, err = maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: canaryMeta()}, metav1.CreateOptions{})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return err
		}
		_, err = maps.Get(ctx, canaryName, metav1.GetOptions{})
		return err
	})
}

// rollOut waits until new leaders are elected, unless the control plane is the old one, and a Deployment that is made now is available.
func (c *canary) rollOut(ctx context.Context, cfg *rest.Config, oldLeaders bool) error {
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return err
	}
	deployments := client.AppsV1().Deployments(ledger.Namespace)
	return poll(ctx, func() error {
		_, err := deployments.Create(ctx, canaryDeployment(), metav1.CreateOptions{})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return err
		}
		now, err := leaders(ctx, client)
		if err != nil {
			return err
		}
		for _, name := range electedLeaders {
			if now[name] == "" || now[name] == c.leaders[name] && !oldLeaders {
				return fmt.Errorf("%s has no new leader", name)
			}
		}
		seen, err := deployments.Get(ctx, canaryName, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if seen.Status.AvailableReplicas == 0 {
			return fmt.Errorf("deployment %s has no available replica%s", canaryName, hindrance(seen))
		}
		return nil
	})
}

// hindrance says why a Deployment gets no pods, where its controller knows: a webhook, a policy, a quota.
func hindrance(d *appsv1.Deployment) string {
	for _, c := range d.Status.Conditions {
		if c.Type == appsv1.DeploymentReplicaFailure && c.Status == corev1.ConditionTrue {
			return ": " + c.Message
		}
	}
	return ""
}

// authenticate shows the old token to cfg's cluster.
func (c *canary) authenticate(ctx context.Context, cfg *rest.Config) error {
	ctx, cancel := context.WithTimeout(ctx, identityTimeout)
	defer cancel()
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return err
	}
	return poll(ctx, func() error {
		review, err := client.AuthenticationV1().TokenReviews().Create(ctx,
			&authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: c.token}}, metav1.CreateOptions{})
		if err != nil {
			return err
		}
		if review.Status.Authenticated {
			return nil
		}
		if err := knowsSigner(ctx, client, c.token); isFinal(err) {
			return fmt.Errorf("a token minted before the failure is refused: %w", err)
		}
		return fmt.Errorf("a token minted before the failure is refused: %s", review.Status.Error)
	})
}

// remove takes the canary's objects away again, and returns when they and their pods are gone.
func (c *canary) remove(ctx context.Context, cfg *rest.Config) error {
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return err
	}
	foreground := metav1.DeletePropagationForeground
	now := int64(0)
	return poll(ctx, func() error {
		err := client.AppsV1().Deployments(ledger.Namespace).Delete(ctx, canaryName, metav1.DeleteOptions{PropagationPolicy: &foreground, GracePeriodSeconds: &now})
		if err == nil {
			return errors.New("the canary's deployment is still there")
		}
		err2 := client.CoreV1().ConfigMaps(ledger.Namespace).Delete(ctx, canaryName, metav1.DeleteOptions{})
		return errors.Join(ignoreNotFound(err), ignoreNotFound(err2))
	})
}

func canaryDeployment() *appsv1.Deployment {
	labels := map[string]string{DrillLabel: canaryName}
	return &appsv1.Deployment{ObjectMeta: canaryMeta(), Spec: appsv1.DeploymentSpec{
		Selector: &metav1.LabelSelector{MatchLabels: labels},
		Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: labels},
			Spec: corev1.PodSpec{
				TerminationGracePeriodSeconds: new(int64(1)),
				Containers:                    []corev1.Container{{Name: "canary", Image: fixtures.Image, Command: []string{"sleep", "infinity"}}},
			},
		},
	}}
}

func canaryMeta() metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: canaryName, Namespace: ledger.Namespace, Labels: map[string]string{DrillLabel: canaryName}}
}

func ignoreNotFound(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// A finalError is an answer that no waiting changes.
type finalError struct{ error }

func (e finalError) Unwrap() error { return e.error }

func isFinal(err error) bool { return errors.As(err, new(finalError)) }

// poll asks until the answer is nil, or final. When ctx ends first it returns the cause with the last answer that is not of that end.
func poll(ctx context.Context, ask func() error) error {
	var last error
	for {
		err := ask()
		if err == nil || isFinal(err) {
			return err
		}
		if last == nil || ctx.Err() == nil {
			last = err
		}
		if cause := wait(ctx, pollInterval); cause != nil {
			return fmt.Errorf("%w: %w", cause, last)
		}
	}
}
