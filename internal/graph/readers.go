package graph

import (
	"fmt"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/json"
)

// Groups of the kinds below.
const (
	core      = ""
	apps      = "apps"
	batch     = "batch"
	rbac      = "rbac.authorization.k8s.io"
	storage   = "storage.k8s.io"
	admission = "admissionregistration.k8s.io"
)

// readers of the kinds that name others in their spec. The fields that are read are the same in every version of their group.
var readers = map[kind]func(*references, []byte) error{
	{core, "Pod"}: read(func(r *references, o *struct {
		Spec corev1.PodSpec `json:"spec"`
	}) {
		r.pod("spec.", &o.Spec)
	}),
	{core, "ReplicationController"}: read((*references).workload),
	{core, "PersistentVolumeClaim"}: read(func(r *references, o *corev1.PersistentVolumeClaim) { r.claim("spec.", &o.Spec) }),
	{core, "PersistentVolume"}: read(func(r *references, o *corev1.PersistentVolume) {
		r.cluster(storage, "StorageClass", o.Spec.StorageClassName, "spec.storageClassName")
		if claim := o.Spec.ClaimRef; claim != nil {
			r.add(reference{to: Object{core, "PersistentVolumeClaim", claim.Namespace, claim.Name}, uid: string(claim.UID), via: "spec.claimRef", back: true})
		}
	}),
	{core, "ServiceAccount"}: read(func(r *references, o *corev1.ServiceAccount) {
		for _, s := range o.Secrets {
			r.local(core, "Secret", s.Name, "secrets", nil)
		}
		r.pullSecrets(o.ImagePullSecrets, "imagePullSecrets")
	}),

	{apps, "Deployment"}: read((*references).workload),
	{apps, "ReplicaSet"}: read((*references).workload),
	{apps, "DaemonSet"}:  read((*references).workload),
	{apps, "StatefulSet"}: func(r *references, raw []byte) error {
		o, err := decode[appsv1.StatefulSet](raw)
		if err != nil {
			return err
		}
		r.pod("spec.template.spec.", &o.Spec.Template.Spec)
		r.local(core, "Service", o.Spec.ServiceName, "spec.serviceName", nil)
		return r.claims(&o.Spec)
	},
	{batch, "Job"}: read((*references).workload),
	{batch, "CronJob"}: read(func(r *references, o *batchv1.CronJob) {
		r.pod("spec.jobTemplate.spec.template.spec.", &o.Spec.JobTemplate.Spec.Template.Spec)
	}),
	{"autoscaling", "HorizontalPodAutoscaler"}: read(func(r *references, o *autoscalingv2.HorizontalPodAutoscaler) {
		target := o.Spec.ScaleTargetRef
		r.versioned(target.APIVersion, target.Kind, target.Name, "", "spec.scaleTargetRef")
	}),

	{"networking.k8s.io", "Ingress"}: read(func(r *references, o *networkingv1.Ingress) {
		if class := o.Spec.IngressClassName; class != nil {
			r.cluster("networking.k8s.io", "IngressClass", *class, "spec.ingressClassName")
		}
		r.backend(o.Spec.DefaultBackend, "spec.defaultBackend")
		for _, rule := range o.Spec.Rules {
			if rule.HTTP != nil {
				for _, path := range rule.HTTP.Paths {
					r.backend(&path.Backend, "spec.rules[].http.paths[].backend")
				}
			}
		}
		for _, tls := range o.Spec.TLS {
			r.local(core, "Secret", tls.SecretName, "spec.tls[].secretName", nil)
		}
	}),

	{rbac, "RoleBinding"}:        read((*references).binding),
	{rbac, "ClusterRoleBinding"}: read((*references).binding),

	{admission, "ValidatingWebhookConfiguration"}:   read((*references).webhooks),
	{admission, "MutatingWebhookConfiguration"}:     read((*references).webhooks),
	{admission, "ValidatingAdmissionPolicyBinding"}: read(policyOf("ValidatingAdmissionPolicy")),
	{admission, "MutatingAdmissionPolicyBinding"}:   read(policyOf("MutatingAdmissionPolicy")),

	{"apiextensions.k8s.io", "CustomResourceDefinition"}: read(func(r *references, o *definition) {
		r.defines, r.definesAs = kind{o.Spec.Group, o.Spec.Names.Kind}, o.Spec.Group+"/"+o.Spec.Names.Plural
		r.service(o.Spec.Conversion.Webhook.ClientConfig.Service, "spec.conversion.webhook.clientConfig.service")
	}),
	{"apiregistration.k8s.io", "APIService"}: read(func(r *references, o *struct {
		Spec struct {
			Group   string   `json:"group"`
			Service *service `json:"service"`
		} `json:"spec"`
	}) {
		if o.Spec.Service != nil {
			r.aggregates = o.Spec.Group
		}
		r.service(o.Spec.Service, "spec.service")
	}),
}

// read decodes an object as far as T has fields.
func read[T any](refer func(*references, *T)) func(*references, []byte) error {
	return func(r *references, raw []byte) error {
		o, err := decode[T](raw)
		if err == nil {
			refer(r, o)
		}
		return err
	}
}

func decode[T any](raw []byte) (*T, error) {
	o := new(T)
	if err := json.UnmarshalCaseSensitivePreserveInts(raw, o); err != nil {
		return nil, fmt.Errorf("read its references: %w", err)
	}
	return o, nil
}

type reference struct {
	to             Object
	uid, via       string
	optional, back bool
}

// references of one object, as they are read.
type references struct {
	of  Object
	uid string
	all []reference
	// A definition defines a kind, as group/resource; an APIService aggregates a group.
	defines    kind
	definesAs  string
	aggregates string
}

// Fields of every object.
const (
	inNamespace     = "metadata.namespace"
	ownerReferences = "metadata.ownerReferences"
)

// read an object. After an error, some of its references are missing.
func (r *references) read(raw []byte) error {
	r.cluster(core, "Namespace", r.of.Namespace, inNamespace)
	err := read(func(r *references, o *struct {
		Metadata struct {
			UID             string                  `json:"uid"`
			OwnerReferences []metav1.OwnerReference `json:"ownerReferences"`
		} `json:"metadata"`
	}) {
		r.uid = o.Metadata.UID
		for _, owner := range o.Metadata.OwnerReferences {
			r.versioned(owner.APIVersion, owner.Kind, owner.Name, string(owner.UID), ownerReferences)
		}
	})(r, raw)
	if reader := readers[kind{r.of.Group, r.of.Kind}]; reader != nil && err == nil {
		err = reader(r, raw)
	}
	return err
}

// add a reference, unless it names nothing.
func (r *references) add(ref reference) {
	if ref.to.Name != "" {
		r.all = append(r.all, ref)
	}
}

// local references stay in the namespace.
func (r *references) local(group, kind, name, via string, optional *bool) {
	r.add(reference{to: Object{group, kind, r.of.Namespace, name}, via: via, optional: optional != nil && *optional})
}

// cluster references are to what has no namespace.
func (r *references) cluster(group, kind, name, via string) {
	r.add(reference{to: Object{Group: group, Kind: kind, Name: name}, via: via})
}

// versioned references are to any kind, in the namespace or in none.
func (r *references) versioned(apiVersion, kind, name, uid, via string) {
	group := schema.FromAPIVersionAndKind(apiVersion, kind).Group
	r.add(reference{to: Object{group, kind, r.of.Namespace, name}, uid: uid, via: via})
}

// A workload makes pods of a template.
type workload struct {
	Spec struct {
		Template corev1.PodTemplateSpec `json:"template"`
	} `json:"spec"`
}

func (r *references) workload(o *workload) { r.pod("spec.template.spec.", &o.Spec.Template.Spec) }

func (r *references) pod(at string, spec *corev1.PodSpec) {
	r.local(core, "ServiceAccount", spec.ServiceAccountName, at+"serviceAccountName", nil)
	r.cluster("scheduling.k8s.io", "PriorityClass", spec.PriorityClassName, at+"priorityClassName")
	if spec.RuntimeClassName != nil {
		r.cluster("node.k8s.io", "RuntimeClass", *spec.RuntimeClassName, at+"runtimeClassName")
	}
	r.pullSecrets(spec.ImagePullSecrets, at+"imagePullSecrets")
	for _, v := range spec.Volumes {
		if s := v.ConfigMap; s != nil {
			r.local(core, "ConfigMap", s.Name, at+"volumes[].configMap", s.Optional)
		}
		if s := v.Secret; s != nil {
			r.local(core, "Secret", s.SecretName, at+"volumes[].secret", s.Optional)
		}
		if s := v.PersistentVolumeClaim; s != nil {
			r.local(core, "PersistentVolumeClaim", s.ClaimName, at+"volumes[].persistentVolumeClaim", nil)
		}
		if s := v.CSI; s != nil && s.NodePublishSecretRef != nil {
			r.local(core, "Secret", s.NodePublishSecretRef.Name, at+"volumes[].csi.nodePublishSecretRef", nil)
		}
		if v.Projected == nil {
			continue
		}
		for _, s := range v.Projected.Sources {
			if s.ConfigMap != nil {
				r.local(core, "ConfigMap", s.ConfigMap.Name, at+"volumes[].projected.sources[].configMap", s.ConfigMap.Optional)
			}
			if s.Secret != nil {
				r.local(core, "Secret", s.Secret.Name, at+"volumes[].projected.sources[].secret", s.Secret.Optional)
			}
		}
	}
	for _, c := range spec.InitContainers {
		r.environment(at+"initContainers[].", c.Env, c.EnvFrom)
	}
	for _, c := range spec.Containers {
		r.environment(at+"containers[].", c.Env, c.EnvFrom)
	}
	for _, c := range spec.EphemeralContainers {
		r.environment(at+"ephemeralContainers[].", c.Env, c.EnvFrom)
	}
}

func (r *references) environment(at string, variables []corev1.EnvVar, from []corev1.EnvFromSource) {
	for _, v := range variables {
		if v.ValueFrom == nil {
			continue
		}
		if s := v.ValueFrom.ConfigMapKeyRef; s != nil {
			r.local(core, "ConfigMap", s.Name, at+"env[].valueFrom.configMapKeyRef", s.Optional)
		}
		if s := v.ValueFrom.SecretKeyRef; s != nil {
			r.local(core, "Secret", s.Name, at+"env[].valueFrom.secretKeyRef", s.Optional)
		}
	}
	for _, f := range from {
		if s := f.ConfigMapRef; s != nil {
			r.local(core, "ConfigMap", s.Name, at+"envFrom[].configMapRef", s.Optional)
		}
		if s := f.SecretRef; s != nil {
			r.local(core, "Secret", s.Name, at+"envFrom[].secretRef", s.Optional)
		}
	}
}

func (r *references) pullSecrets(secrets []corev1.LocalObjectReference, via string) {
	for _, s := range secrets {
		r.local(core, "Secret", s.Name, via, nil)
	}
}

func (r *references) claim(at string, spec *corev1.PersistentVolumeClaimSpec) {
	if spec.StorageClassName != nil {
		r.cluster(storage, "StorageClass", *spec.StorageClassName, at+"storageClassName")
	}
	r.cluster(core, "PersistentVolume", spec.VolumeName, at+"volumeName")
}

// maxClaims of one StatefulSet that are looked for.
const maxClaims = 10_000

// claims of a StatefulSet's pods, which are named after the templates. A controller would make the missing ones anew, without their data.
func (r *references) claims(spec *appsv1.StatefulSetSpec) error {
	replicas, start := 1, 0
	if spec.Replicas != nil {
		replicas = int(*spec.Replicas)
	}
	if spec.Ordinals != nil {
		start = int(spec.Ordinals.Start)
	}
	if len(spec.VolumeClaimTemplates)*replicas > maxClaims {
		return fmt.Errorf("its %d replicas have more than %d claims", replicas, maxClaims)
	}
	for _, t := range spec.VolumeClaimTemplates {
		r.claim("spec.volumeClaimTemplates[].spec.", &t.Spec)
		for i := range replicas {
			r.local(core, "PersistentVolumeClaim", fmt.Sprintf("%s-%s-%d", t.Name, r.of.Name, start+i), "spec.volumeClaimTemplates[]", nil)
		}
	}
	return nil
}

func (r *references) backend(b *networkingv1.IngressBackend, via string) {
	if b == nil {
		return
	}
	if b.Service != nil {
		r.local(core, "Service", b.Service.Name, via+".service", nil)
	}
	if b.Resource != nil {
		group := ""
		if b.Resource.APIGroup != nil {
			group = *b.Resource.APIGroup
		}
		r.local(group, b.Resource.Kind, b.Resource.Name, via+".resource", nil)
	}
}

// binding is what a RoleBinding and a ClusterRoleBinding have in them. Users and groups are no objects.
func (r *references) binding(o *rbacv1.RoleBinding) {
	if o.RoleRef.Kind == "Role" {
		r.local(rbac, "Role", o.RoleRef.Name, "roleRef", nil)
	} else {
		r.cluster(rbac, "ClusterRole", o.RoleRef.Name, "roleRef")
	}
	for _, s := range o.Subjects {
		if s.Kind == rbacv1.ServiceAccountKind {
			r.add(reference{to: Object{core, "ServiceAccount", s.Namespace, s.Name}, via: "subjects"})
		}
	}
}

// webhooks of a configuration, validating or mutating: their clients are configured alike.
func (r *references) webhooks(o *admissionregistrationv1.ValidatingWebhookConfiguration) {
	for _, w := range o.Webhooks {
		if s := w.ClientConfig.Service; s != nil {
			r.service(&service{s.Namespace, s.Name}, "webhooks[].clientConfig.service")
		}
	}
}

// A policyBinding has the same field for validating and for mutating policies.
type policyBinding struct {
	Spec struct {
		PolicyName string `json:"policyName"`
	} `json:"spec"`
}

func policyOf(kind string) func(*references, *policyBinding) {
	return func(r *references, o *policyBinding) {
		r.cluster(admission, kind, o.Spec.PolicyName, "spec.policyName")
	}
}

// A service that the API server calls.
type service struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

func (r *references) service(s *service, via string) {
	if s != nil {
		r.add(reference{to: Object{core, "Service", s.Namespace, s.Name}, via: via})
	}
}

// A definition of a custom resource, as far as it is read here.
type definition struct {
	Spec struct {
		Group string `json:"group"`
		Names struct {
			Kind   string `json:"kind"`
			Plural string `json:"plural"`
		} `json:"names"`
		Conversion struct {
			Webhook struct {
				ClientConfig struct {
					Service *service `json:"service"`
				} `json:"clientConfig"`
			} `json:"webhook"`
		} `json:"conversion"`
	} `json:"spec"`
}
