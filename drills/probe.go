package drills

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/google/cel-go/cel"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/apiserver/pkg/cel/environment"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/restore-drill/restore-drill/drills/clusters"
	"github.com/restore-drill/restore-drill/internal/evidence"
	"github.com/restore-drill/restore-drill/scenarios"
)

// probeTimeout bounds one answer of one probe.
const probeTimeout = 30 * time.Second

// celCostLimit is the one that the API server sets for one expression of an admission policy.
const celCostLimit = 10_000_000

// A probe is a compiled question to a cluster.
type probe struct {
	scenarios.Probe
	program cel.Program
	// held is what is outside the cluster of a credential: a service's password, a client's token. The first answer sets it, and learn sets it
	// anew. It is written nowhere.
	held []byte
}

// celEnvironment is the one of Kubernetes' own admission policies, with the variables object and items.
var celEnvironment = sync.OnceValues(func() (*cel.Env, error) {
	v := version.MajorMinor(1, 36)
	set, err := environment.MustBaseEnvSet(v).Extend(environment.VersionedOptions{
		IntroducedVersion: v,
		EnvOptions:        []cel.EnvOption{cel.Variable("object", cel.DynType), cel.Variable("items", cel.ListType(cel.DynType))},
	})
	if err != nil {
		return nil, err
	}
	return set.Env(environment.StoredExpressions)
})

// CheckCEL tells what is wrong with a probe's expression.
func CheckCEL(expression string) error {
	_, err := compileCEL(expression)
	return err
}

func compileCEL(expression string) (cel.Program, error) {
	env, err := celEnvironment()
	if err != nil {
		return nil, err
	}
	ast, issues := env.Compile(expression)
	if err := issues.Err(); err != nil {
		return nil, err
	}
	if t := ast.OutputType(); !t.IsExactType(cel.BoolType) && !t.IsExactType(cel.DynType) {
		return nil, fmt.Errorf("expression gives %s, want bool", t)
	}
	return env.Program(ast, cel.CostLimit(celCostLimit))
}

func compileProbe(p scenarios.Probe) (*probe, error) {
	compiled := &probe{Probe: p}
	if p.CEL == nil {
		return compiled, nil
	}
	var err error
	if compiled.program, err = compileCEL(p.CEL.Expression); err != nil {
		return nil, fmt.Errorf("probe %s: %w", p.Name, err)
	}
	return compiled, nil
}

// probeAll asks every probe once, in parallel, and records each answer. The error names those that did not pass, and is final when an answer is.
func (d *drill) probeAll(ctx context.Context, c clusters.Cluster) (bool, error) {
	// In place, it is the restored one once the restore has begun.
	cluster := c.Name()
	if c == d.restored {
		cluster = "restored"
	}
	results := make([]evidence.ProbeResult, len(d.probes))
	var (
		wg    sync.WaitGroup
		final atomic.Bool
	)
	for i, p := range d.probes {
		wg.Go(func() {
			detail, err := p.ask(ctx, c)
			if isFinal(err) {
				final.Store(true)
			}
			results[i] = evidence.ProbeResult{Name: p.Name, Cluster: cluster, At: d.rec.Now(), Passed: err == nil, Detail: detail}
			if err != nil {
				results[i].Detail = err.Error()
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return false, context.Cause(ctx) // what was answered to a question that was taken back is no answer
	}
	var failed []string
	for _, r := range results {
		if err := d.rec.Append(evidence.ProbesFile, r); err != nil {
			return false, harness(finalError{err})
		}
		if !r.Passed {
			failed = append(failed, fmt.Sprintf("probe %s does not pass: %s", r.Name, r.Detail))
		}
	}
	if len(failed) > 0 {
		err := fmt.Errorf("%s cluster: %s", cluster, strings.Join(failed, "; "))
		if final.Load() {
			err = finalError{err}
		}
		return false, err
	}
	return true, nil
}

// probeInterval between two rounds of probes while the restored cluster is still coming up.
const probeInterval = time.Second

// keepProbing asks all probes in rounds, until ctx ends: the report shows when each passed for the first time, and whether it went on to. What they
// answer so early decides nothing. That of a store that was restored may be what the backup said.
func (d *drill) keepProbing(ctx context.Context) error {
	for {
		if _, err := d.probeAll(ctx, d.restored); errors.As(err, new(harnessError)) {
			return err
		}
		if wait(ctx, probeInterval) != nil {
			return nil
		}
	}
}

// learn has every probe answered once more by the cluster that is about to be lost. What credentials are now is what the world outside goes on
// with, and a probe that does not pass any more cannot tell anything after the failure.
func (d *drill) learn(ctx context.Context) error {
	for _, p := range d.probes {
		p.held = nil
	}
	_, err := d.probeAll(ctx, d.source)
	return err
}

// ask returns what was seen when the probe passes, and an error that says what was seen when it does not.
func (p *probe) ask(ctx context.Context, c clusters.Cluster) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, probeTimeout, fmt.Errorf("no answer within %s", probeTimeout))
	defer cancel()
	switch {
	case p.CEL != nil:
		return p.askCEL(ctx, c.Config())
	case p.Get != nil:
		return p.askGet(ctx, c.Config())
	case p.Command != nil:
		return p.askCommand(ctx, c.Kubeconfig())
	case p.Create != nil:
		return p.askCreate(ctx, c.Config())
	case p.Login != nil:
		return p.askLogin(ctx, c.Config())
	case p.Token != nil:
		return p.askToken(ctx, c.Config())
	case p.NeedsMachines():
		return p.askInside(ctx, c.Config())
	}
	return "", fmt.Errorf("probe %s asks nothing", p.Name)
}

func (p *probe) askCEL(ctx context.Context, cfg *rest.Config) (string, error) {
	resource, err := resourceOf(cfg, p.CEL.APIVersion, p.CEL.Kind, p.CEL.Namespace)
	if err != nil {
		return "", err
	}
	vars := map[string]any{"object": nil, "items": []any{}}
	if p.CEL.Name != "" {
		object, err := resource.Get(ctx, p.CEL.Name, metav1.GetOptions{})
		if err != nil {
			return "", err
		}
		vars["object"] = object.Object
	} else {
		list, err := resource.List(ctx, metav1.ListOptions{})
		if err != nil {
			return "", err
		}
		vars["items"] = contents(list.Items)
	}
	value, _, err := p.program.ContextEval(ctx, vars)
	if err != nil && p.CEL.Kind == "Secret" {
		// The reason may quote what the object holds.
		return "", fmt.Errorf("%s cannot be evaluated", p.CEL.Expression)
	}
	if err != nil {
		return "", err
	}
	passed, ok := value.Value().(bool)
	if !ok {
		return "", fmt.Errorf("%s gives a %s, want a bool", p.CEL.Expression, value.Type().TypeName())
	}
	if !passed {
		return "", fmt.Errorf("%s gives false", p.CEL.Expression)
	}
	return p.CEL.Expression, nil
}

// resourceOf the objects of a kind, in a namespace unless the kind has none.
func resourceOf(cfg *rest.Config, apiVersion, kind, namespace string) (dynamic.ResourceInterface, error) {
	disco, err := discovery.NewDiscoveryClientForConfig(cfg)
	if err != nil {
		return nil, err
	}
	gvk := schema.FromAPIVersionAndKind(apiVersion, kind)
	mapping, err := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(disco)).RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		return nil, err
	}
	client, err := dynamic.NewForConfig(cfg)
	if err != nil {
		return nil, err
	}
	return client.Resource(mapping.Resource).Namespace(namespace), nil
}

func contents(items []unstructured.Unstructured) []any {
	all := make([]any, len(items))
	for i := range items {
		all[i] = items[i].Object
	}
	return all
}

func (p *probe) askGet(ctx context.Context, cfg *rest.Config) (string, error) {
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return "", err
	}
	var status int
	err = client.RESTClient().Get().AbsPath(p.Get.Path).Do(ctx).StatusCode(&status).Error()
	if err != nil || status != http.StatusOK {
		return "", fmt.Errorf("GET %s: HTTP %d: %w", p.Get.Path, status, err)
	}
	return fmt.Sprintf("GET %s: HTTP %d", p.Get.Path, status), nil
}

func (p *probe) askCommand(ctx context.Context, kubeconfig string) (string, error) {
	argv := p.Command.Argv
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig)
	// What the command starts must not outlive it, nor keep the probe waiting.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 10 * time.Second
	// The output may hold anything, Secrets too: only its size is kept.
	var output byteCount
	cmd.Stdout, cmd.Stderr = &output, &output
	err := cmd.Run()
	if cmd.Process != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what it left behind; mostly nothing
	}
	shown, _ := json.Marshal(argv)
	if err != nil {
		return "", fmt.Errorf("%s: %w (%d bytes of output)", shown, errors.Join(err, context.Cause(ctx)), output)
	}
	return fmt.Sprintf("%s: exit code 0 (%d bytes of output)", shown, output), nil
}

func (p *probe) askCreate(ctx context.Context, cfg *rest.Config) (string, error) {
	object := &unstructured.Unstructured{Object: p.Create.Object}
	resource, err := resourceOf(cfg, object.GetAPIVersion(), object.GetKind(), object.GetNamespace())
	if err != nil {
		return "", err
	}
	what := fmt.Sprintf("%s %s", object.GetKind(), path.Join(object.GetNamespace(), object.GetName()))
	_, err = resource.Create(ctx, object.DeepCopy(), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	by := p.Create.RefusedBy
	switch {
	case err != nil && !errors.As(err, new(apierrors.APIStatus)):
		return "", fmt.Errorf("%s: no answer: %w", what, err)
	case err == nil && by != "":
		return "", fmt.Errorf("%s is admitted, and has to be refused by %s", what, by)
	case err != nil && by == "":
		return "", fmt.Errorf("%s is refused: %w", what, err)
	case err != nil && !strings.Contains(err.Error(), by):
		return "", fmt.Errorf("%s is refused, and not by %s: %w", what, by, err)
	case err != nil:
		return fmt.Sprintf("%s is refused: %v", what, err), nil
	}
	return what + " is admitted", nil
}

func (p *probe) askLogin(ctx context.Context, cfg *rest.Config) (string, error) {
	value, err := secretValue(ctx, cfg, p.Login.Namespace, p.Login.Secret, p.Login.Key)
	if err != nil {
		return "", err
	}
	if p.held == nil {
		p.held = value
	}
	what := fmt.Sprintf("key %s of Secret %s/%s", p.Login.Key, p.Login.Namespace, p.Login.Secret)
	if subtle.ConstantTimeCompare(value, p.held) != 1 {
		return "", fmt.Errorf("the login is refused: %s is not what was in force when the cluster was lost", what)
	}
	return what + " logs in", nil
}

func (p *probe) askToken(ctx context.Context, cfg *rest.Config) (string, error) {
	if p.held == nil {
		token, err := secretValue(ctx, cfg, p.Token.Namespace, p.Token.Secret, corev1.ServiceAccountTokenKey)
		if err != nil {
			return "", err
		}
		p.held = token
	}
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return "", err
	}
	outside := rest.AnonymousClientConfig(cfg)
	outside.BearerToken = string(p.held)
	asClient, err := kubernetes.NewForConfig(outside)
	if err != nil {
		return "", err
	}
	what := fmt.Sprintf("the token that Secret %s/%s held before the failure", p.Token.Namespace, p.Token.Secret)
	me, err := asClient.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if apierrors.IsUnauthorized(err) {
		if unknown := knowsSigner(ctx, client, string(p.held)); isFinal(unknown) {
			err = unknown
		}
		return "", fmt.Errorf("%s is refused: %w", what, err)
	}
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s lets %s in", what, me.Status.UserInfo.Username), nil
}

func secretValue(ctx context.Context, cfg *rest.Config, namespace, name, key string) ([]byte, error) {
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return nil, err
	}
	secret, err := client.CoreV1().Secrets(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	if len(secret.Data[key]) == 0 {
		return nil, fmt.Errorf("no key %s in Secret %s/%s", key, namespace, name)
	}
	return secret.Data[key], nil
}

// byteCount counts what is written to it.
type byteCount int64

func (n *byteCount) Write(p []byte) (int, error) {
	*n += byteCount(len(p))
	return len(p), nil
}
