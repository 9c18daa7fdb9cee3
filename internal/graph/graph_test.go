package graph

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/restore-drill/restore-drill/internal/census"
)

// entry of a census, of "group/resource Kind namespace/name" (or a name alone) and the object without its name.
func entry(what, object string) census.Entry {
	fields := strings.Fields(what)
	e := census.Entry{Version: "v1", Kind: fields[1], Name: fields[2]}
	if namespace, name, ok := strings.Cut(fields[2], "/"); ok {
		e.Namespace, e.Name = namespace, name
	}
	e.Key = fields[0] + "/" + e.Namespace + "/" + e.Name
	e.Object = json.RawMessage(object)
	return e
}

// graphOf entries, whose census has read their resources and those named.
func graphOf(t testing.TB, tail census.Tail, entries ...census.Entry) *Graph {
	t.Helper()
	g := New()
	for i := range entries {
		g.Add(&entries[i])
		parts := strings.SplitN(entries[i].Key, "/", 3)
		if resource := parts[0] + "/" + parts[1]; !slices.Contains(tail.Resources, resource) {
			tail.Resources = append(tail.Resources, resource)
		}
	}
	g.Close(tail)
	return g
}

// lines of the references of one object, its namespace left out.
func lines(g *Graph, of string) (all []string) {
	for r := range g.References() {
		if r.From.Name != of || r.InNamespace() {
			continue
		}
		line := fmt.Sprintf("%s via %s", r.To, r.Via)
		if r.Optional {
			line += " optional"
		}
		if r.Back {
			line += " back"
		}
		all = append(all, line)
	}
	return all
}

const podSpec = `{"serviceAccountName":"sa","priorityClassName":"high","runtimeClassName":"gvisor","imagePullSecrets":[{"name":"registry"}],
	"volumes":[{"configMap":{"name":"files"}},{"configMap":{"name":"maybe","optional":true}},{"secret":{"secretName":"tls","optional":false}},
		{"persistentVolumeClaim":{"claimName":"data"}},{"csi":{"driver":"d","nodePublishSecretRef":{"name":"csi"}}},{"emptyDir":{}},
		{"projected":{"sources":[{"configMap":{"name":"ca"}},{"secret":{"name":"token","optional":true}},{"serviceAccountToken":{"path":"p"}}]}}],
	"initContainers":[{"envFrom":[{"secretRef":{"name":"init"}}]}],
	"ephemeralContainers":[{"envFrom":[{"configMapRef":{"name":"debug","optional":true}}]}],
	"containers":[{"env":[{"name":"A","value":"literal"},{"name":"B","valueFrom":{"configMapKeyRef":{"name":"maybe","key":"k"}}},
		{"name":"C","valueFrom":{"secretKeyRef":{"name":"password","key":"k"}}},{"name":"D","valueFrom":{"fieldRef":{"fieldPath":"x"}}}],
		"envFrom":[{"configMapRef":{"name":"files"}}]}]}`

func podReferences(at string) []string {
	return []string{
		"PriorityClass high via " + at + "priorityClassName",
		"RuntimeClass gvisor via " + at + "runtimeClassName",
		"ConfigMap n/ca via " + at + "volumes[].projected.sources[].configMap",
		"ConfigMap n/debug via " + at + "ephemeralContainers[].envFrom[].configMapRef optional",
		"ConfigMap n/files via " + at + "volumes[].configMap",
		"ConfigMap n/maybe via " + at + "volumes[].configMap", // another field needs it
		"PersistentVolumeClaim n/data via " + at + "volumes[].persistentVolumeClaim",
		"Secret n/csi via " + at + "volumes[].csi.nodePublishSecretRef",
		"Secret n/init via " + at + "initContainers[].envFrom[].secretRef",
		"Secret n/password via " + at + "containers[].env[].valueFrom.secretKeyRef",
		"Secret n/registry via " + at + "imagePullSecrets",
		"Secret n/tls via " + at + "volumes[].secret",
		"Secret n/token via " + at + "volumes[].projected.sources[].secret optional",
		"ServiceAccount n/sa via " + at + "serviceAccountName",
	}
}

func TestReferences(t *testing.T) {
	template := `{"spec":{"replicas":1,"template":{"spec":` + podSpec + `}}}`
	const owned = `"metadata":{"uid":"u","ownerReferences":[{"apiVersion":"apps/v1","kind":"Deployment","name":"web","uid":"w"},{"apiVersion":"shop.example.com/v1","kind":"Widget","name":"x","uid":"x"}]}`
	rows := map[string]struct {
		what, object string
		want         []string
	}{
		"pod":                  {"/pods Pod n/o", `{"spec":` + podSpec + `}`, podReferences("spec.")},
		"deployment":           {"apps/deployments Deployment n/o", template, podReferences("spec.template.spec.")},
		"replica set":          {"apps/replicasets ReplicaSet n/o", template, podReferences("spec.template.spec.")},
		"daemon set":           {"apps/daemonsets DaemonSet n/o", template, podReferences("spec.template.spec.")},
		"controller":           {"/replicationcontrollers ReplicationController n/o", template, podReferences("spec.template.spec.")},
		"job":                  {"batch/jobs Job n/o", template, podReferences("spec.template.spec.")},
		"cron job":             {"batch/cronjobs CronJob n/o", `{"spec":{"jobTemplate":{"spec":{"template":{"spec":` + podSpec + `}}}}}`, podReferences("spec.jobTemplate.spec.template.spec.")},
		"stateful set":         {"apps/statefulsets StatefulSet n/o", `{"spec":{"serviceName":"peers","replicas":2,"ordinals":{"start":3},"template":{},"volumeClaimTemplates":[{"metadata":{"name":"data"},"spec":{"storageClassName":"ssd"}}]}}`, []string{"StorageClass ssd via spec.volumeClaimTemplates[].spec.storageClassName", "PersistentVolumeClaim n/data-o-3 via spec.volumeClaimTemplates[]", "PersistentVolumeClaim n/data-o-4 via spec.volumeClaimTemplates[]", "Service n/peers via spec.serviceName"}},
		"stateful set of one":  {"apps/statefulsets StatefulSet n/o", `{"spec":{"volumeClaimTemplates":[{"metadata":{"name":"data"}}]}}`, []string{"PersistentVolumeClaim n/data-o-0 via spec.volumeClaimTemplates[]"}},
		"stateful set of none": {"apps/statefulsets StatefulSet n/o", `{"spec":{"replicas":0,"volumeClaimTemplates":[{"metadata":{"name":"data"}}]}}`, nil},
		"claim":                {"/persistentvolumeclaims PersistentVolumeClaim n/o", `{"spec":{"storageClassName":"ssd","volumeName":"disk-1","dataSource":{"kind":"PersistentVolumeClaim","name":"seed"}}}`, []string{"PersistentVolume disk-1 via spec.volumeName", "StorageClass ssd via spec.storageClassName"}},
		"claim without class":  {"/persistentvolumeclaims PersistentVolumeClaim n/o", `{"spec":{"storageClassName":""}}`, nil},
		"volume":               {"/persistentvolumes PersistentVolume o", `{"spec":{"storageClassName":"ssd","claimRef":{"kind":"PersistentVolumeClaim","namespace":"n","name":"data","uid":"u"}}}`, []string{"StorageClass ssd via spec.storageClassName", "PersistentVolumeClaim n/data via spec.claimRef back"}},
		"service account":      {"/serviceaccounts ServiceAccount n/o", `{"secrets":[{"name":"token"}],"imagePullSecrets":[{"name":"registry"}]}`, []string{"Secret n/registry via imagePullSecrets", "Secret n/token via secrets"}},
		"autoscaler":           {"autoscaling/horizontalpodautoscalers HorizontalPodAutoscaler n/o", `{"spec":{"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"web"}}}`, []string{"Deployment n/web via spec.scaleTargetRef"}},
		"ingress": {"networking.k8s.io/ingresses Ingress n/o", `{"spec":{"ingressClassName":"nginx","defaultBackend":{"resource":{"apiGroup":"shop.example.com","kind":"Bucket","name":"b"}},"tls":[{"secretName":"tls"},{"hosts":["x"]}],"rules":[{"host":"x"},{"http":{"paths":[{"backend":{"service":{"name":"web"}}}]}}]}}`,
			[]string{"IngressClass nginx via spec.ingressClassName", "Bucket.shop.example.com n/b via spec.defaultBackend.resource", "Secret n/tls via spec.tls[].secretName", "Service n/web via spec.rules[].http.paths[].backend.service"}},
		"role binding":         {"rbac.authorization.k8s.io/rolebindings RoleBinding n/o", `{"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"Role","name":"r"},"subjects":[{"kind":"ServiceAccount","namespace":"m","name":"sa"},{"kind":"User","name":"alice"},{"kind":"Group","name":"ops"}]}`, []string{"ServiceAccount m/sa via subjects", "Role n/r via roleRef"}},
		"cluster role binding": {"rbac.authorization.k8s.io/clusterrolebindings ClusterRoleBinding o", `{"roleRef":{"kind":"ClusterRole","name":"r"},"subjects":[{"kind":"ServiceAccount","namespace":"m","name":"sa"}]}`, []string{"ClusterRole r via roleRef", "ServiceAccount m/sa via subjects"}},
		"validating webhook":   {"admissionregistration.k8s.io/validatingwebhookconfigurations ValidatingWebhookConfiguration o", `{"webhooks":[{"clientConfig":{"service":{"namespace":"m","name":"hook"}}},{"clientConfig":{"url":"https://example.com"}}]}`, []string{"Service m/hook via webhooks[].clientConfig.service"}},
		"mutating webhook":     {"admissionregistration.k8s.io/mutatingwebhookconfigurations MutatingWebhookConfiguration o", `{"webhooks":[{"clientConfig":{"service":{"namespace":"m","name":"hook"}}}]}`, []string{"Service m/hook via webhooks[].clientConfig.service"}},
		"policy binding":       {"admissionregistration.k8s.io/validatingadmissionpolicybindings ValidatingAdmissionPolicyBinding o", `{"spec":{"policyName":"p"}}`, []string{"ValidatingAdmissionPolicy p via spec.policyName"}},
		"mutating policy":      {"admissionregistration.k8s.io/mutatingadmissionpolicybindings MutatingAdmissionPolicyBinding o", `{"spec":{"policyName":"p"}}`, []string{"MutatingAdmissionPolicy p via spec.policyName"}},
		"definition":           {"apiextensions.k8s.io/customresourcedefinitions CustomResourceDefinition o", `{"spec":{"group":"g","names":{"kind":"K","plural":"ks"},"conversion":{"strategy":"Webhook","webhook":{"clientConfig":{"service":{"namespace":"m","name":"convert"}}}}}}`, []string{"Service m/convert via spec.conversion.webhook.clientConfig.service"}},
		"definition alone":     {"apiextensions.k8s.io/customresourcedefinitions CustomResourceDefinition o", `{"spec":{"conversion":{"strategy":"None"}}}`, nil},
		"api service":          {"apiregistration.k8s.io/apiservices APIService o", `{"spec":{"group":"metrics.k8s.io","service":{"namespace":"m","name":"metrics"}}}`, []string{"Service m/metrics via spec.service"}},
		"local api service":    {"apiregistration.k8s.io/apiservices APIService o", `{"spec":{"group":"apps"}}`, nil},
		"owned":                {"/configmaps ConfigMap n/o", `{` + owned + `}`, []string{"Deployment n/web via metadata.ownerReferences", "Widget.shop.example.com n/x via metadata.ownerReferences"}},
		"selectors":            {"/services Service n/o", `{"spec":{"selector":{"app":"web"}}}`, nil},
		"disruption budget":    {"policy/poddisruptionbudgets PodDisruptionBudget n/o", `{"spec":{"selector":{"matchLabels":{"app":"web"}}}}`, nil},
		"names in capitals":    {"apps/deployments Deployment n/o", `{"SPEC":{"template":{"spec":{"serviceAccountName":"sa"}}}}`, nil},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			g := graphOf(t, census.Tail{}, entry(row.what, row.object))
			unread, more := g.Unread()
			require.Empty(t, unread)
			require.Zero(t, more)
			require.Equal(t, row.want, lines(g, "o"))
		})
	}
	read := map[kind]bool{}
	for _, row := range rows {
		fields := strings.Fields(row.what)
		group, _, _ := strings.Cut(fields[0], "/")
		read[kind{group, fields[1]}] = row.want != nil || read[kind{group, fields[1]}]
	}
	for k := range readers {
		require.True(t, read[k], "no row reads a %s", k.name)
	}
}

func TestEveryObjectNeedsItsNamespace(t *testing.T) {
	g := graphOf(t, census.Tail{}, entry("/configmaps ConfigMap n/o", `{}`), entry("/namespaces Namespace n", `{}`), entry("/configmaps ConfigMap m/o", `{}`))
	var all []string
	for r := range g.References() {
		all = append(all, fmt.Sprintf("%s -> %s %s", r.From, r.To, r.State))
	}
	require.Equal(t, []string{"ConfigMap m/o -> Namespace m absent", "ConfigMap n/o -> Namespace n found"}, all)
}

func TestUnreadObjects(t *testing.T) {
	for name, row := range map[string]struct{ what, object, want string }{
		"another type":    {"apps/deployments Deployment n/o", `{"spec":{"template":{"spec":{"containers":"none"}}}}`, "Deployment n/o: read its references: json: cannot unmarshal string"},
		"metadata":        {"/configmaps ConfigMap n/o", `{"metadata":[]}`, "ConfigMap n/o: read its references: json: cannot unmarshal array"},
		"no object":       {"/pods Pod n/o", ``, "Pod n/o: read its references: unexpected end of JSON input"},
		"of a snapshot":   {"/registry  ", ``, "the census names no kind of it: it is not one of the API"},
		"too many claims": {"apps/statefulsets StatefulSet n/o", `{"spec":{"replicas":2147483647,"volumeClaimTemplates":[{"metadata":{"name":"d"}},{"metadata":{"name":"e"}}]}}`, "StatefulSet n/o: its 2147483647 replicas have more than 10000 claims"},
	} {
		t.Run(name, func(t *testing.T) {
			e := census.Entry{Key: "/registry/x"}
			if name != "of a snapshot" {
				e = entry(row.what, row.object)
			}
			g := graphOf(t, census.Tail{}, e)
			unread, _ := g.Unread()
			require.Len(t, unread, 1)
			require.Contains(t, unread[0], row.want)
		})
	}
	g := New()
	for i := range 25 {
		e := entry(fmt.Sprintf("/pods Pod n/p%d", i), `[]`)
		g.Add(&e)
	}
	unread, more := g.Unread()
	require.Len(t, unread, maxUnread)
	require.Equal(t, 15, more)
}

func owner(group, kind, name, uid string) string {
	return fmt.Sprintf(`{"metadata":{"uid":"mine","ownerReferences":[{"apiVersion":%q,"kind":%q,"name":%q,"uid":%q}]}}`, group, kind, name, uid)
}

func uid(u string) string { return fmt.Sprintf(`{"metadata":{"uid":%q}}`, u) }

func TestOwners(t *testing.T) {
	for name, row := range map[string]struct {
		owner census.Entry
		want  State
	}{
		"the one":               {entry("apps/deployments Deployment n/web", uid("u")), Found},
		"a later one":           {entry("apps/deployments Deployment n/web", uid("other")), Replaced},
		"without UID":           {entry("apps/deployments Deployment n/web", `{}`), Found},
		"of another name":       {entry("apps/deployments Deployment n/shop", uid("u")), Absent},
		"of another namespace":  {entry("apps/deployments Deployment m/web", uid("u")), Absent},
		"of another kind":       {entry("apps/daemonsets DaemonSet n/web", uid("u")), Absent},
		"of another group":      {entry("shop.example.com/deployments Deployment n/web", uid("u")), Absent},
		"of the cluster":        {entry("apps/deployments Deployment web", uid("u")), Found},
		"a later one of it all": {entry("apps/deployments Deployment web", uid("other")), Replaced},
	} {
		t.Run(name, func(t *testing.T) {
			for _, order := range [][]int{{0, 1}, {1, 0}} {
				entries := []census.Entry{entry("apps/replicasets ReplicaSet n/o", owner("apps/v1beta1", "Deployment", "web", "u")), row.owner}
				g := graphOf(t, census.Tail{}, entries[order[0]], entries[order[1]])
				for r := range g.References() {
					if r.Via == ownerReferences {
						require.Equal(t, row.want, r.State, "%s", r.To)
						if row.want != Absent {
							require.Equal(t, row.owner.Namespace, r.To.Namespace)
						}
					}
				}
			}
		})
	}
}

func TestDefinitions(t *testing.T) {
	widget := entry("shop.example.com/widgets Widget n/o", `{}`)
	definition := entry("apiextensions.k8s.io/customresourcedefinitions CustomResourceDefinition widgets.shop.example.com", `{"spec":{"group":"shop.example.com","names":{"kind":"Widget","plural":"widgets"}}}`)
	aggregated := entry("apiregistration.k8s.io/apiservices APIService v1.shop.example.com", `{"spec":{"group":"shop.example.com","service":{"namespace":"m","name":"api"}}}`)
	local := entry("apiregistration.k8s.io/apiservices APIService v1.shop.example.com", `{"spec":{"group":"shop.example.com"}}`)

	require.Equal(t, []string{"CustomResourceDefinition widgets.shop.example.com via spec.names"}, lines(graphOf(t, census.Tail{}, widget, definition), "o"))
	require.Equal(t, []string{"CustomResourceDefinition widgets.shop.example.com via spec.names"}, lines(graphOf(t, census.Tail{}, widget, definition, local), "o"))
	require.Equal(t, []string{"APIService v1.shop.example.com via spec.names"}, lines(graphOf(t, census.Tail{}, widget, aggregated), "o"))
	g := graphOf(t, census.Tail{Resources: []string{"/namespaces"}}, widget)
	missing := g.Missing(nil)
	require.Len(t, missing, 2)
	require.Equal(t, "CustomResourceDefinition widgets.shop.example.com", missing[0].Object.String())
	require.Equal(t, Absent, missing[0].State)
	// A definition that is in a group of Kubernetes' own.
	gateway := entry("networking.k8s.io/gateways Gateway n/o", `{}`)
	require.Empty(t, lines(graphOf(t, census.Tail{}, gateway), "o"))
	require.Len(t, lines(graphOf(t, census.Tail{}, gateway, entry("apiextensions.k8s.io/customresourcedefinitions CustomResourceDefinition gateways.networking.k8s.io", `{}`)), "o"), 1)
}

// What could not be read is neither there nor missing.
func TestUnseen(t *testing.T) {
	claim := entry("/persistentvolumeclaims PersistentVolumeClaim n/o", `{"spec":{"storageClassName":"ssd"}}`)
	widget := entry("/configmaps ConfigMap n/o", owner("shop.example.com/v1", "Goose", "x", "u"))
	definition := entry("apiextensions.k8s.io/customresourcedefinitions CustomResourceDefinition geese.shop.example.com", `{"spec":{"group":"shop.example.com","names":{"kind":"Goose","plural":"geese"}}}`)
	for name, row := range map[string]struct {
		tail    census.Tail
		entries []census.Entry
		want    State
	}{
		"read":                 {census.Tail{Resources: []string{"storage.k8s.io/storageclasses"}}, []census.Entry{claim}, Absent},
		"not served":           {census.Tail{}, []census.Entry{claim}, Absent},
		"unreadable":           {census.Tail{Unreadable: map[string]string{"storage.k8s.io/storageclasses": "500"}}, []census.Entry{claim}, Unseen},
		"another unreadable":   {census.Tail{Unreadable: map[string]string{"apps/deployments": "500"}}, []census.Entry{claim}, Absent},
		"undiscovered":         {census.Tail{Unreadable: map[string]string{"storage.k8s.io/v1/*": "503"}}, []census.Entry{claim}, Unseen},
		"skipped":              {census.Tail{Skipped: map[string]string{"storage.k8s.io/storageclasses": "made up"}}, []census.Entry{claim}, Unseen},
		"of an unread group":   {census.Tail{Unreadable: map[string]string{"shop.example.com/geese": "500"}}, []census.Entry{widget}, Unseen},
		"defined, unreadable":  {census.Tail{Unreadable: map[string]string{"shop.example.com/geese": "500"}}, []census.Entry{widget, definition}, Unseen},
		"defined, read":        {census.Tail{Resources: []string{"shop.example.com/geese"}}, []census.Entry{widget, definition}, Absent},
		"defined, its sibling": {census.Tail{Resources: []string{"shop.example.com/geese"}, Unreadable: map[string]string{"shop.example.com/ducks": "500"}}, []census.Entry{widget, definition}, Absent},
	} {
		t.Run(name, func(t *testing.T) {
			g := graphOf(t, row.tail, row.entries...)
			seen := 0
			for r := range g.References() {
				if r.Via == "spec.storageClassName" || r.Via == ownerReferences {
					require.Equal(t, row.want, r.State)
					seen++
				}
			}
			require.Equal(t, 1, seen)
		})
	}
	// The core group has no name.
	g := graphOf(t, census.Tail{Unreadable: map[string]string{"v1/*": "503"}}, entry("/pods Pod n/o", `{"spec":{"serviceAccountName":"sa"}}`))
	for r := range g.References() {
		require.Equal(t, Unseen, r.State)
	}
}

func TestMissing(t *testing.T) {
	pod := func(name, secret string) census.Entry {
		return entry("/pods Pod n/"+name, fmt.Sprintf(`{"spec":{"imagePullSecrets":[{"name":%q}],"volumes":[{"configMap":{"name":"none","optional":true}}]}}`, secret))
	}
	namespace := entry("/namespaces Namespace n", `{}`)
	tail := census.Tail{Resources: []string{"/secrets", "/configmaps", "/nodes"}}
	secret := entry("/secrets Secret n/s", uid("u"))
	unread := census.Tail{Unreadable: map[string]string{"/secrets": "500"}}
	for name, row := range map[string]struct {
		before, after *Graph
		want          []string
	}{
		"nothing":                     {graphOf(t, tail, namespace, pod("a", "s"), secret), graphOf(t, tail, namespace, pod("a", "s"), secret), nil},
		"lost":                        {graphOf(t, tail, namespace, pod("a", "s"), secret), graphOf(t, tail, namespace, pod("a", "s")), []string{"Secret n/s absent lost 1"}},
		"lost, of a new pod":          {graphOf(t, tail, namespace, secret), graphOf(t, tail, namespace, pod("b", "s")), []string{"Secret n/s absent lost 1"}},
		"missing before":              {graphOf(t, tail, namespace, pod("a", "s")), graphOf(t, tail, namespace, pod("a", "s")), []string{"Secret n/s absent before 1"}},
		"missing before, another pod": {graphOf(t, tail, namespace, pod("a", "s")), graphOf(t, tail, namespace, pod("b", "s"), pod("c", "s")), []string{"Secret n/s absent before 2"}},
		"new":                         {graphOf(t, tail, namespace), graphOf(t, tail, namespace, pod("b", "s")), []string{"Secret n/s absent new 1"}},
		"not seen before":             {graphOf(t, unread, namespace, pod("a", "s")), graphOf(t, tail, namespace, pod("a", "s")), []string{"Secret n/s absent undetermined 1"}},
		"not seen after":              {graphOf(t, tail, namespace, pod("a", "s"), secret), graphOf(t, unread, namespace, pod("a", "s")), []string{"Secret n/s unseen lost 1"}},
		"nobody looked":               {nil, graphOf(t, tail, namespace, pod("a", "s")), []string{"Secret n/s absent undetermined 1"}},
		"namespace":                   {graphOf(t, tail, namespace, secret), graphOf(t, tail, secret), []string{"Namespace n absent lost 1"}},
		"many":                        {graphOf(t, tail), graphOf(t, tail, namespace, pod("a", "s"), pod("b", "s"), pod("c", "s"), pod("d", "s"), pod("e", "s"), pod("f", "s"), pod("g", "r")), []string{"Secret n/r absent new 1", "Secret n/s absent new 6"}},
		"owner replaced": {graphOf(t, tail, namespace, entry("/configmaps ConfigMap n/c", owner("v1", "Secret", "s", "u")), secret),
			graphOf(t, tail, namespace, entry("/configmaps ConfigMap n/c", owner("v1", "Secret", "s", "u")), entry("/secrets Secret n/s", uid("other"))), []string{"Secret n/s replaced lost 1"}},
		"owner replaced before": {graphOf(t, tail, namespace, entry("/configmaps ConfigMap n/c", owner("v1", "Secret", "s", "old")), secret),
			graphOf(t, tail, namespace, entry("/configmaps ConfigMap n/c", owner("v1", "Secret", "s", "old")), secret), []string{"Secret n/s replaced before 1"}},
		"all owners of the cluster": {graphOf(t, tail, namespace, entry("/configmaps ConfigMap n/c", owner("v1", "Node", "node-0", "u")), entry("/nodes Node node-0", uid("u"))),
			graphOf(t, tail, namespace, entry("/configmaps ConfigMap n/c", owner("v1", "Node", "node-0", "u"))), []string{"Node n/node-0 absent lost 1"}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, m := range row.after.Missing(row.before) {
				got = append(got, fmt.Sprintf("%s %s %s %d", m.Object, m.State, m.Since, m.Referrers))
				require.Len(t, m.By, min(m.Referrers, maxReferrers))
			}
			require.Equal(t, row.want, got)
		})
	}
}

func TestOrder(t *testing.T) {
	waves := func(g *Graph) (all []string) {
		for _, w := range g.Order().Waves {
			all = append(all, Join(w))
		}
		return all
	}
	g := graphOf(t, census.Tail{},
		entry("/namespaces Namespace n", `{}`),
		entry("/configmaps ConfigMap n/c", `{}`),
		entry("apps/deployments Deployment n/web", `{"spec":{"template":{"spec":{"volumes":[{"configMap":{"name":"c"}},{"secret":{"secretName":"gone"}}]}}}}`),
		entry("/persistentvolumes PersistentVolume disk", `{"spec":{"claimRef":{"namespace":"n","name":"data"}}}`),
		entry("/persistentvolumeclaims PersistentVolumeClaim n/data", `{"spec":{"volumeName":"disk"}}`))
	require.Equal(t, []string{"Namespace n, PersistentVolume disk", "ConfigMap n/c, PersistentVolumeClaim n/data", "Deployment n/web"}, waves(g))
	require.Empty(t, g.Order().Cycles, "a bound volume and its claim are no circle")

	// A claim that is to be deleted with its StatefulSet, which needs it; and an object that owns itself.
	g = graphOf(t, census.Tail{},
		entry("/persistentvolumeclaims PersistentVolumeClaim n/data-db-0", owner("apps/v1", "StatefulSet", "db", "")),
		entry("apps/statefulsets StatefulSet n/db", `{"spec":{"volumeClaimTemplates":[{"metadata":{"name":"data"}}]}}`),
		entry("/pods Pod n/db-0", `{"metadata":{"ownerReferences":[{"apiVersion":"apps/v1","kind":"StatefulSet","name":"db"}]},"spec":{"volumes":[{"persistentVolumeClaim":{"claimName":"data-db-0"}}]}}`),
		entry("/configmaps ConfigMap n/self", owner("v1", "ConfigMap", "self", "mine")))
	require.Equal(t, []string{"ConfigMap n/self, PersistentVolumeClaim n/data-db-0, StatefulSet n/db", "Pod n/db-0"}, waves(g))
	var cycles []string
	for _, c := range g.Order().Cycles {
		cycles = append(cycles, Join(c))
	}
	require.Equal(t, []string{"ConfigMap n/self", "PersistentVolumeClaim n/data-db-0, StatefulSet n/db"}, cycles)
}

// A chain of owners as long as there are objects, and a circle of as many.
func TestOrderOfLongChains(t *testing.T) {
	const n = 100_000
	for name, last := range map[string]string{"chain": "", "circle": "99999"} {
		t.Run(name, func(t *testing.T) {
			g := New()
			for i := range n {
				object := owner("v1", "ConfigMap", fmt.Sprint(i-1), "")
				if i == 0 {
					object = owner("v1", "ConfigMap", last, "")
				}
				e := entry(fmt.Sprintf("/configmaps ConfigMap n/%d", i), object)
				g.Add(&e)
			}
			g.Close(census.Tail{})
			o := g.Order()
			if last == "" {
				require.Len(t, o.Waves, n)
				require.Empty(t, o.Cycles)
			} else {
				require.Len(t, o.Waves, 1)
				require.Len(t, o.Cycles, 1)
				require.Len(t, o.Cycles[0], n)
			}
		})
	}
}

// randomEntries refer to one another at random, and to what is not there.
func randomEntries(random *rand.Rand) []census.Entry {
	var all []census.Entry
	n := 1 + random.IntN(40)
	for i := range n {
		var owners []string
		for range random.IntN(4) {
			owners = append(owners, fmt.Sprintf(`{"apiVersion":"v1","kind":"ConfigMap","name":"c%d","uid":"u%d"}`, random.IntN(n+3), random.IntN(2)))
		}
		all = append(all, entry(fmt.Sprintf("/configmaps ConfigMap n%d/c%d", random.IntN(2), i), fmt.Sprintf(`{"metadata":{"uid":"u%d","ownerReferences":[%s]}}`, random.IntN(2), strings.Join(owners, ","))))
	}
	return all
}

// Whatever refers to whatever: every object is in one wave, after all that it needs or in a cycle with it, and no order of the census changes a byte.
func TestOrderProperties(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 500 {
		entries := randomEntries(random)
		g := graphOf(t, census.Tail{}, entries...)
		requireOrder(t, g)
		want := written(t, g)
		random.Shuffle(len(entries), func(i, j int) { entries[i], entries[j] = entries[j], entries[i] })
		require.Equal(t, want, written(t, graphOf(t, census.Tail{}, entries...)))
	}
}

func requireOrder(t testing.TB, g *Graph) {
	order := g.Order()
	wave, cycle := map[Object]int{}, map[Object]int{}
	for i, w := range order.Waves {
		require.NotEmpty(t, w)
		for _, o := range w {
			require.NotContains(t, wave, o)
			wave[o] = i + 1
		}
	}
	require.Len(t, wave, g.Objects())
	for i, c := range order.Cycles {
		for _, o := range c {
			require.NotContains(t, cycle, o)
			cycle[o] = i + 1
		}
	}
	for r := range g.References() {
		if r.Back || r.State != Found && r.State != Replaced {
			continue
		}
		if wave[r.From] <= wave[r.To] {
			require.NotZero(t, cycle[r.From], "%s needs %s, and is not after it", r.From, r.To)
			require.Equal(t, cycle[r.From], cycle[r.To])
			require.Equal(t, wave[r.From], wave[r.To])
		}
	}
}

func written(t testing.TB, g *Graph) string {
	var b bytes.Buffer
	require.NoError(t, g.WriteText(&b, g))
	require.NoError(t, g.WriteDOT(&b))
	require.NoError(t, g.WriteJSON(&b, nil))
	return b.String()
}

func TestReadTrouble(t *testing.T) {
	_, err := Read(filepath.Join(t.TempDir(), "census"))
	require.ErrorContains(t, err, "open census: open ")
	file := filepath.Join(t.TempDir(), "census")
	w, err := census.Create(file, census.Head{})
	require.NoError(t, err)
	e := entry("/pods Pod n/o", `{}`)
	e.Digest = "00"
	require.NoError(t, w.Write(e))
	w.Abandon()
	_, err = Read(file)
	require.ErrorContains(t, err, "torn")
}

// FuzzAdd reads hostile objects as every kind: nothing panics, what is printed holds no control sequence, and the order holds.
func FuzzAdd(f *testing.F) {
	kinds := slices.SortedFunc(func(yield func(kind) bool) {
		for k := range readers {
			if !yield(k) {
				return
			}
		}
	}, func(a, b kind) int { return strings.Compare(a.group+a.name, b.group+b.name) })
	f.Add(`{"spec":{"template":{"spec":`+podSpec+`}}}`, "name", "namespace")
	f.Add(`{"spec":`+podSpec+`,"metadata":{"ownerReferences":[{"apiVersion":"a/b/c","kind":"K","name":"name"}]}}`, "\x1b[31mred\"\\n\u202e", "n\x00")
	f.Add(`{"spec":{"replicas":2147483647,"ordinals":{"start":2147483647},"volumeClaimTemplates":[{},{}]}}`, "&amp;</title>", "")
	f.Add(`{"metadata":{"uid":{}},"webhooks":[{"clientConfig":{"service":{}}}],"roleRef":{"kind":"Role","name":"\u001b]8;;"}}`, "..", "\n")
	f.Fuzz(func(t *testing.T, object, name, namespace string) {
		g := New()
		for _, k := range kinds {
			e := census.Entry{Key: k.group + "/things/" + namespace + "/" + name, Kind: k.name, Namespace: namespace, Name: name, Object: json.RawMessage(object)}
			g.Add(&e)
		}
		g.Close(census.Tail{})
		requireOrder(t, g)
		var b bytes.Buffer
		require.NoError(t, g.WriteText(&b, g))
		require.NoError(t, g.WriteDOT(&b))
		for _, r := range b.String() {
			require.True(t, r == '\n' || r >= ' ' && r != 0x7f && r != 0x202e, "control character %U", r)
		}
		requireDOT(t, b.String()[strings.Index(b.String(), "digraph references {"):])
	})
}

// requireDOT reads the lines of a picture: each is one statement, and its quotes end where they should.
func requireDOT(t testing.TB, dot string) {
	for line := range strings.Lines(dot) {
		inside, escaped := false, false
		var outside strings.Builder
		for _, r := range strings.TrimSpace(line) {
			switch {
			case escaped:
				escaped = false
			case r == '\\' && inside:
				escaped = true
			case r == '"':
				inside = !inside
			case !inside:
				outside.WriteRune(r)
			}
		}
		require.False(t, inside, "%s", line)
		require.Regexp(t, `^(digraph references \{|rankdir=LR;|node \[.*\];|edge \[.*\];|subgraph cluster_\d+ \{|label=;|n\d+ \[label=[a-z, =]*\];|n\d+ -> n\d+( \[[a-z=, ]+\])?;|\})$`, outside.String())
	}
}

// bigCensus is of n objects, as a busy cluster has them.
func bigCensus(n int) []census.Entry {
	all := make([]census.Entry, 0, n)
	for i := 0; len(all) < n; i++ {
		namespace := fmt.Sprintf("namespace-%d", i%100)
		all = append(all,
			entry(fmt.Sprintf("/configmaps ConfigMap %s/settings-%d", namespace, i), fmt.Sprintf(`{"data":{"key":%q},"metadata":{"uid":"config-%d"}}`, strings.Repeat("value ", 100), i)),
			entry(fmt.Sprintf("apps/deployments Deployment %s/web-%d", namespace, i), fmt.Sprintf(`{"metadata":{"uid":"deployment-%d"},"spec":{"template":{"spec":{"serviceAccountName":"default","containers":[{"image":"web:1","envFrom":[{"configMapRef":{"name":"settings-%d"}}]}]}}}}`, i, i)),
			entry(fmt.Sprintf("apps/replicasets ReplicaSet %s/web-%d-1", namespace, i), fmt.Sprintf(`{"metadata":{"uid":"replicaset-%d","ownerReferences":[{"apiVersion":"apps/v1","kind":"Deployment","name":"web-%d","uid":"deployment-%d"}]},"spec":{"template":{"spec":{"containers":[{"envFrom":[{"configMapRef":{"name":"settings-%d"}}]}]}}}}`, i, i, i, i)),
			entry(fmt.Sprintf("/pods Pod %s/web-%d-1-x", namespace, i), fmt.Sprintf(`{"metadata":{"uid":"00000000-0000-0000-0000-%012d","ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"web-%d-1","uid":"replicaset-%d"}]},"spec":{"containers":[{"envFrom":[{"configMapRef":{"name":"settings-%d"}},{"secretRef":{"name":"gone-%d"}}]}]}}`, i, i, i, i, i%1000)))
	}
	return all[:n]
}
