// Package access asks a cluster's own authorizer who may do what.
//
// It asks for every subject that a binding names, and for the groups that every user and every service account is in: what a service
// account without a binding may do is what its groups may do.
package access

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"
	authorizationclient "k8s.io/client-go/kubernetes/typed/authorization/v1"
	rbacclient "k8s.io/client-go/kubernetes/typed/rbac/v1"
	"k8s.io/client-go/rest"

	"github.com/restore-drill/restore-drill/internal/evidence"
)

const (
	// workers ask at the same time.
	workers = 16
	// anywhere is the namespace in which a subject is asked that no binding of a namespace names: its answer holds for all such.
	anywhere = metav1.NamespaceDefault
	// member is the name under which a group is asked: the authorizer knows it for nothing but its groups.
	member = "restoredrill.io:member"
)

// Read writes what every subject may do to file, sorted, one evidence.AccessRule a line, and the line that ends it. When
// it fails, there is no file.
func Read(ctx context.Context, cfg *rest.Config, file string) error {
	cfg = rest.CopyConfig(cfg)
	cfg.QPS = -1
	questions, err := questions(ctx, cfg)
	if err != nil {
		return fmt.Errorf("read access: %w", err)
	}
	var (
		mu    sync.Mutex
		rules []evidence.AccessRule
	)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(workers)
	for _, q := range questions {
		g.Go(func() error {
			answers, err := q.ask(ctx, cfg)
			if err != nil {
				return fmt.Errorf("read access of %s in %s: %w", q.subject, q.namespace, err)
			}
			mu.Lock()
			defer mu.Unlock()
			for _, rule := range answers {
				rules = append(rules, evidence.AccessRule{Subject: q.subject, Namespace: q.namespace, Rule: rule})
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	slices.SortFunc(rules, func(a, b evidence.AccessRule) int {
		return slices.Compare([]string{a.Subject, a.Namespace, a.Rule}, []string{b.Subject, b.Namespace, b.Rule})
	})
	return write(file, rules)
}

// A question is about one subject in one namespace.
type question struct {
	subject, namespace string
	as                 rest.ImpersonationConfig
}

// questions to ask: each subject in every namespace where a binding names it or one of its groups, and anywhere else once.
func questions(ctx context.Context, cfg *rest.Config) ([]question, error) {
	client, err := rbacclient.NewForConfig(cfg)
	if err != nil {
		return nil, err
	}
	clusterWide, err := client.ClusterRoleBindings().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list cluster role bindings: %w", err)
	}
	bindings, err := client.RoleBindings(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list role bindings: %w", err)
	}
	subjects := map[string]rest.ImpersonationConfig{}
	named := map[string]map[string]bool{} // user or group, as impersonated, to the namespaces that name it
	know := func(s rbacv1.Subject, bindingNamespace string) {
		name, as := impersonate(s, bindingNamespace)
		subjects[name] = as
	}
	for _, group := range []string{user.AllAuthenticated, user.AllUnauthenticated, serviceaccount.AllServiceAccountsGroup} {
		know(rbacv1.Subject{Kind: rbacv1.GroupKind, Name: group}, "")
	}
	for _, b := range clusterWide.Items {
		for _, s := range b.Subjects {
			know(s, "")
		}
	}
	for _, b := range bindings.Items {
		for _, s := range b.Subjects {
			know(s, b.Namespace)
			name, _ := impersonate(s, b.Namespace)
			if named[name] == nil {
				named[name] = map[string]bool{}
			}
			named[name][b.Namespace] = true
		}
	}
	var all []question
	for name, as := range subjects {
		namespaces := map[string]bool{anywhere: true}
		maps.Copy(namespaces, named[name])
		for _, group := range as.Groups {
			maps.Copy(namespaces, named[rbacv1.GroupKind+":"+group])
		}
		for namespace := range namespaces {
			all = append(all, question{name, namespace, as})
		}
	}
	return all, nil
}

// impersonate gives a subject's name in the evidence, and the user that the authenticator would make of it. Whoever is
// asked is authenticated, since nobody else may ask the authorizer: of those who are not, what everybody may do is told too.
func impersonate(s rbacv1.Subject, bindingNamespace string) (string, rest.ImpersonationConfig) {
	switch s.Kind {
	case rbacv1.ServiceAccountKind:
		namespace := s.Namespace
		if namespace == "" {
			namespace = bindingNamespace
		}
		info := serviceaccount.UserInfo(namespace, s.Name, "")
		return "ServiceAccount:" + namespace + "/" + s.Name,
			rest.ImpersonationConfig{UserName: info.GetName(), Groups: append(info.GetGroups(), user.AllAuthenticated)}
	case rbacv1.GroupKind:
		return "Group:" + s.Name, rest.ImpersonationConfig{UserName: member, Groups: []string{s.Name, user.AllAuthenticated}}
	default:
		return "User:" + s.Name, rest.ImpersonationConfig{UserName: s.Name, Groups: []string{user.AllAuthenticated}}
	}
}

// ask has the authorizer list the rules, one privilege a line. What it could not resolve (a binding to a role that is not there) is a
// line too: it is part of the answer. An authorizer that cannot list all rules is an error.
func (q question) ask(ctx context.Context, cfg *rest.Config) ([]string, error) {
	cfg = rest.CopyConfig(cfg)
	cfg.Impersonate = q.as
	client, err := authorizationclient.NewForConfig(cfg)
	if err != nil {
		return nil, err
	}
	review, err := client.SelfSubjectRulesReviews().Create(ctx, &authorizationv1.SelfSubjectRulesReview{
		Spec: authorizationv1.SelfSubjectRulesReviewSpec{Namespace: q.namespace},
	}, metav1.CreateOptions{})
	if err != nil {
		return nil, err
	}
	if review.Status.Incomplete {
		// Two answers that leave out the same may differ in what they leave out.
		return nil, fmt.Errorf("the authorizer lists only a part of the rules: %s", cmp.Or(review.Status.EvaluationError, "it gives no reason"))
	}
	return privileges(review.Status), nil
}

// privileges are the rules taken apart, so that a role that lost one verb differs in that verb alone: "get deployments.apps/scale",
// "delete secrets named db", "get /healthz".
func privileges(status authorizationv1.SubjectRulesReviewStatus) []string {
	set := map[string]bool{}
	for _, rule := range status.ResourceRules {
		names := rule.ResourceNames
		if len(names) == 0 {
			names = []string{""}
		}
		for _, verb := range rule.Verbs {
			for _, group := range rule.APIGroups {
				for _, resource := range rule.Resources {
					for _, name := range names {
						set[privilege(verb, group, resource, name)] = true
					}
				}
			}
		}
	}
	for _, rule := range status.NonResourceRules {
		for _, verb := range rule.Verbs {
			for _, url := range rule.NonResourceURLs {
				set[verb+" "+url] = true
			}
		}
	}
	if status.EvaluationError != "" {
		// Several come as one text, [a, b], in no order.
		for _, unresolved := range strings.Split(strings.Trim(status.EvaluationError, "[]"), ", ") {
			set["unresolved: "+unresolved] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}

func privilege(verb, group, resource, name string) string {
	resource, subresource, sub := strings.Cut(resource, "/")
	line := verb + " " + resource
	if group != "" {
		line += "." + group
	}
	if sub {
		line += "/" + subresource
	}
	if name != "" {
		line += " named " + name
	}
	return line
}

func write(file string, rules []evidence.AccessRule) (err error) {
	out, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+"-*")
	if err != nil {
		return fmt.Errorf("write access: %w", err)
	}
	defer func() {
		if err != nil {
			os.Remove(out.Name())
		}
	}()
	buffered := bufio.NewWriter(out)
	lines := json.NewEncoder(buffered)
	for _, rule := range rules {
		if err := lines.Encode(rule); err != nil {
			return errors.Join(fmt.Errorf("write access: %w", err), out.Close())
		}
	}
	end := lines.Encode(evidence.AccessRule{Rule: strconv.Itoa(len(rules)), End: true})
	if err := errors.Join(end, buffered.Flush(), out.Sync(), out.Close()); err != nil {
		return fmt.Errorf("write access: %w", err)
	}
	return os.Rename(out.Name(), file)
}
