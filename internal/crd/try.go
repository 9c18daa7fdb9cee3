package crd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/restore-drill/restore-drill/internal/census"
	"github.com/restore-drill/restore-drill/internal/evidence"
)

// sample is how many custom resources of one definition are tried.
const sample = 200

// Try creates the custom resources of a census anew under the definitions of a cluster, without effect: a dry run. To create is more than to
// update, or to have: what is stored already may break a rule that came later, for as long as nobody touches that field. Each
// is tried under its own name in the namespace default, where neither its own namespace's quota and policies nor the
// resource itself stand in the way, and with nothing of its metadata, which no definition rules.
func Try(ctx context.Context, cfg *rest.Config, file string, under evidence.CRDs) (evidence.CRDTrials, error) {
	trials, err := try(ctx, quiet(cfg), file, under)
	if err != nil {
		return evidence.CRDTrials{}, fmt.Errorf("try custom resources: %w", err)
	}
	return trials, nil
}

func try(ctx context.Context, cfg *rest.Config, file string, under evidence.CRDs) (evidence.CRDTrials, error) {
	client, err := dynamic.NewForConfig(cfg)
	if err != nil {
		return evidence.CRDTrials{}, err
	}
	trials := evidence.CRDTrials{Definitions: make([]evidence.CRDTrial, len(under.Definitions))}
	parsed := make([]Definition, len(under.Definitions))
	byResource := map[string]int{}
	for i, d := range under.Definitions {
		trials.Definitions[i] = evidence.CRDTrial{Name: d.Name, Troubled: []evidence.CRDTrouble{}}
		if parsed[i], err = Parse(d); err != nil {
			return evidence.CRDTrials{}, err
		}
		byResource[parsed[i].Group+"/"+parsed[i].Names.Plural] = i
	}
	resources := func(visit func(i int, e census.Entry)) error {
		return each(file, func(e census.Entry) {
			group, rest, _ := strings.Cut(e.Key, "/")
			plural, _, _ := strings.Cut(rest, "/")
			if i, ours := byResource[group+"/"+plural]; ours {
				visit(i, e)
			}
		})
	}
	if err := resources(func(i int, _ census.Entry) { trials.Definitions[i].Known++ }); err != nil {
		return evidence.CRDTrials{}, err
	}
	var (
		g    errgroup.Group
		mu   sync.Mutex
		seen = make([]int, len(parsed))
		errs []error
	)
	g.SetLimit(workers)
	err = resources(func(i int, e census.Entry) {
		trial := &trials.Definitions[i]
		nth := seen[i]
		seen[i]++
		if nth%((trial.Known+sample-1)/sample) != 0 || ctx.Err() != nil {
			return
		}
		g.Go(func() error {
			trouble, err := tryOne(ctx, client, parsed[i], e)
			mu.Lock()
			defer mu.Unlock()
			trial.Tried++
			errs = append(errs, err)
			if trouble != nil {
				trial.Troubled = append(trial.Troubled, *trouble)
			}
			return nil
		})
	})
	g.Wait()
	if err := errors.Join(append(errs, err, context.Cause(ctx))...); err != nil {
		return evidence.CRDTrials{}, err
	}
	for _, t := range trials.Definitions {
		slices.SortFunc(t.Troubled, func(a, b evidence.CRDTrouble) int {
			return strings.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name)
		})
	}
	return trials, nil
}

// each entry of a census.
func each(file string, visit func(census.Entry)) error {
	r, err := census.Open(file)
	if err != nil {
		return err
	}
	defer r.Close()
	for {
		e, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		visit(e)
	}
}

// tryOne returns nil when the definition takes the resource as it is.
func tryOne(ctx context.Context, client dynamic.Interface, d Definition, e census.Entry) (*evidence.CRDTrouble, error) {
	version := e.Version[strings.LastIndex(e.Version, "/")+1:]
	trouble := &evidence.CRDTrouble{Namespace: e.Namespace, Name: e.Name, Version: version}
	if !d.served()[version] {
		trouble.Refused = []string{"version " + version + " is not served"}
		return trouble, nil
	}
	o := &unstructured.Unstructured{}
	if err := json.Unmarshal(e.Object, &o.Object); err != nil {
		return nil, fmt.Errorf("read %s from the census: %w", e.Key, err)
	}
	o.Object["metadata"] = map[string]any{"name": e.Name}
	o.SetAPIVersion(d.Group + "/" + version)
	o.SetKind(e.Kind)
	var resource dynamic.ResourceInterface = client.Resource(d.resource(version))
	if d.Scope == string(apiextensionsv1.NamespaceScoped) {
		resource = client.Resource(d.resource(version)).Namespace(metav1.NamespaceDefault)
	}
	create := func(validation string) error {
		_, err := resource.Create(ctx, o, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}, FieldValidation: validation})
		return err
	}
	err := create(metav1.FieldValidationStrict)
	if trouble.Dropped = dropped(err); trouble.Dropped != nil {
		err = create(metav1.FieldValidationIgnore)
	}
	// The name may be taken; that is found out last, when all else is well.
	if err != nil && !apierrors.IsAlreadyExists(err) {
		if trouble.Refused = refused(err); trouble.Refused == nil {
			trouble.Undecided = undecided(err)
		}
	}
	if trouble.Dropped == nil && trouble.Refused == nil && trouble.Undecided == "" {
		return nil, nil
	}
	return trouble, nil
}

var unknownField = regexp.MustCompile(`unknown field "([^"]+)"`)

// dropped fields, where that is why strict reading refused the resource.
func dropped(err error) (fields []string) {
	if !apierrors.IsBadRequest(err) {
		return nil
	}
	for _, match := range unknownField.FindAllStringSubmatch(err.Error(), -1) {
		fields = append(fields, match[1])
	}
	return fields
}

// refused says which fields the definition does not accept; nil when it is not the definition that refuses. What the server says beside that
// quotes values.
func refused(err error) (causes []string) {
	if text := conversion(err); text != "" {
		return []string{text}
	}
	var status apierrors.APIStatus
	if !apierrors.IsInvalid(err) || !errors.As(err, &status) || status.Status().Details == nil {
		return nil
	}
	for _, c := range status.Status().Details.Causes {
		if c.Field != "" && c.Field != "<nil>" { // the latter says that other rules were not looked at
			causes = append(causes, c.Field+": "+field.ErrorType(c.Type).String())
		}
	}
	return causes
}

var conversionWebhook = regexp.MustCompile(`conversion webhook for .*? failed: `)

// conversion says why a conversion webhook could not be asked, or that it refused; empty when none is in the way. What the webhook itself said stays out.
func conversion(err error) string {
	text := brief(err)
	at := conversionWebhook.FindStringIndex(text)
	switch {
	case at == nil:
		return ""
	case strings.HasPrefix(text[at[1]:], `Post "`):
		return text[at[0]:]
	}
	return strings.TrimSuffix(text[at[0]:at[1]], ": ")
}

// undecided is the server's answer without its words.
func undecided(err error) string {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return brief(err)
	}
	return fmt.Sprintf("%d %s (%s)", status.Status().Code, http.StatusText(int(status.Status().Code)), status.Status().Reason)
}
