package drills

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/google/cel-go/cel"
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

// probeAll asks every probe once, in parallel, and records each answer. The error names those that did not pass.
func (d *drill) probeAll(ctx context.Context, c clusters.Cluster) (bool, error) {
	results := make([]evidence.ProbeResult, len(d.probes))
	var wg sync.WaitGroup
	for i, p := range d.probes {
		wg.Go(func() {
			detail, err := p.ask(ctx, c)
			results[i] = evidence.ProbeResult{Name: p.Name, Cluster: c.Name(), At: d.rec.Now(), Passed: err == nil, Detail: detail}
			if err != nil {
				results[i].Detail = err.Error()
			}
		})
	}
	wg.Wait()
	var failed []string
	for _, r := range results {
		if err := d.rec.Append(evidence.ProbesFile, r); err != nil {
			return false, harness(err)
		}
		if !r.Passed {
			failed = append(failed, fmt.Sprintf("probe %s does not pass: %s", r.Name, r.Detail))
		}
	}
	if len(failed) > 0 {
		return false, fmt.Errorf("%s cluster: %s", c.Name(), strings.Join(failed, "; "))
	}
	return true, nil
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
	}
	return "", fmt.Errorf("probe %s asks nothing", p.Name)
}

func (p *probe) askCEL(ctx context.Context, cfg *rest.Config) (string, error) {
	disco, err := discovery.NewDiscoveryClientForConfig(cfg)
	if err != nil {
		return "", err
	}
	gvk := schema.FromAPIVersionAndKind(p.CEL.APIVersion, p.CEL.Kind)
	mapping, err := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(disco)).RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		return "", err
	}
	client, err := dynamic.NewForConfig(cfg)
	if err != nil {
		return "", err
	}
	resource := client.Resource(mapping.Resource).Namespace(p.CEL.Namespace)
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
	cmd.WaitDelay = time.Second
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

// byteCount counts what is written to it.
type byteCount int64

func (n *byteCount) Write(p []byte) (int, error) {
	*n += byteCount(len(p))
	return len(p), nil
}
