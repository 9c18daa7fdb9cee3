package scenarios

// VeleroBackup is what of Velero's BackupSpec a scenario may set, under Velero's own names.
// Source: https://velero.io/docs/v1.18/api-types/backup/
type VeleroBackup struct {
	// Schedule in cron's five fields makes it a backup that Velero's own Schedule takes, which is due when it is made.
	Schedule string `json:"schedule,omitempty"`
	// IncludedNamespaces to back up; default all. Names and globs.
	IncludedNamespaces []string `json:"includedNamespaces,omitempty"`
	// ExcludedNamespaces are left out. With any namespace excluded, Velero leaves cluster-scoped objects out too, unless includeClusterResources
	// is true.
	ExcludedNamespaces []string `json:"excludedNamespaces,omitempty"`
	// IncludedResources to back up, as plural or plural.group; default all. Not together with the filters by scope below.
	IncludedResources []string `json:"includedResources,omitempty"`
	// ExcludedResources are left out, likewise.
	ExcludedResources []string `json:"excludedResources,omitempty"`
	// IncludedClusterScopedResources to back up; default those that the backed up namespaced objects need.
	IncludedClusterScopedResources []string `json:"includedClusterScopedResources,omitempty"`
	// ExcludedClusterScopedResources are left out; "*" leaves all out.
	ExcludedClusterScopedResources []string `json:"excludedClusterScopedResources,omitempty"`
	// IncludedNamespaceScopedResources to back up; default all.
	IncludedNamespaceScopedResources []string `json:"includedNamespaceScopedResources,omitempty"`
	// ExcludedNamespaceScopedResources are left out; "*" leaves all out.
	ExcludedNamespaceScopedResources []string `json:"excludedNamespaceScopedResources,omitempty"`
	// LabelSelector of the objects to back up; default all.
	LabelSelector *LabelSelector `json:"labelSelector,omitempty"`
	// OrLabelSelectors, of which an object has to match one; not together with labelSelector.
	OrLabelSelectors []LabelSelector `json:"orLabelSelectors,omitempty"`
	// IncludeClusterResources takes cluster-scoped objects too, or none of them; default: all when every namespace is backed up, else those
	// that the namespaced ones need.
	IncludeClusterResources *bool `json:"includeClusterResources,omitempty"`
	// OrderedResources sets the order in which objects of a resource are backed up: namespace/name, separated by commas, by resource.
	OrderedResources map[string]string `json:"orderedResources,omitempty"`
	// Hooks run commands in pods while they are backed up.
	Hooks *VeleroHooks `json:"hooks,omitempty"`
	// DefaultVolumesToFsBackup backs up the files of every volume of a pod that does not opt it out; else only of those that a pod opts in.
	DefaultVolumesToFsBackup *bool `json:"defaultVolumesToFsBackup,omitempty"`
	// SnapshotVolumes takes snapshots by a storage driver, where there is one; default true.
	SnapshotVolumes *bool `json:"snapshotVolumes,omitempty"`
	// TTL after which Velero may remove the backup; default 720h.
	TTL *Duration `json:"ttl,omitempty"`
}

// VeleroHooks by the resources that they are for.
type VeleroHooks struct {
	Resources []VeleroHook `json:"resources"`
}

// A VeleroHook runs commands in the pods that it selects.
type VeleroHook struct {
	Name string `json:"name"`
	// IncludedNamespaces of the pods; default all.
	IncludedNamespaces []string `json:"includedNamespaces,omitempty"`
	// ExcludedNamespaces are left out.
	ExcludedNamespaces []string `json:"excludedNamespaces,omitempty"`
	// LabelSelector of the pods; default all.
	LabelSelector *LabelSelector `json:"labelSelector,omitempty"`
	// Pre runs before the pod is backed up, Post after.
	Pre  []VeleroHookCommand `json:"pre,omitempty"`
	Post []VeleroHookCommand `json:"post,omitempty"`
}

// A VeleroHookCommand is one command of a hook.
type VeleroHookCommand struct {
	Exec VeleroExec `json:"exec"`
}

// VeleroExec is a command in a container.
type VeleroExec struct {
	// Container in which it runs; default the pod's first.
	Container string `json:"container,omitempty"`
	// Command and its arguments, without a shell.
	Command []string `json:"command"`
	// OnError is Fail (the default), which ends the hooks of the pod, or Continue.
	OnError string `json:"onError,omitempty"`
	// Timeout of the command; default 30s.
	Timeout *Duration `json:"timeout,omitempty"`
}

// A LabelSelector is Kubernetes' own: an object matches when all of it does.
type LabelSelector struct {
	// MatchLabels that the object has.
	MatchLabels map[string]string `json:"matchLabels,omitempty"`
	// MatchExpressions that hold for its labels.
	MatchExpressions []LabelExpression `json:"matchExpressions,omitempty"`
}

// A LabelExpression says something about one label.
type LabelExpression struct {
	Key string `json:"key"`
	// Operator is In, NotIn, Exists or DoesNotExist.
	Operator string `json:"operator"`
	// Values for In and NotIn.
	Values []string `json:"values,omitempty"`
}

// VeleroRestore is what of Velero's RestoreSpec a scenario may set, under Velero's own names.
// Source: https://velero.io/docs/v1.18/api-types/restore/
type VeleroRestore struct {
	// IncludedNamespaces to restore; default all that the backup has.
	IncludedNamespaces []string `json:"includedNamespaces,omitempty"`
	// ExcludedNamespaces are left out.
	ExcludedNamespaces []string `json:"excludedNamespaces,omitempty"`
	// IncludedResources to restore, as plural or plural.group; default all that the backup has.
	IncludedResources []string `json:"includedResources,omitempty"`
	// ExcludedResources are left out; Velero leaves out nodes, events and its own backups and restores in any case.
	ExcludedResources []string `json:"excludedResources,omitempty"`
	// NamespaceMapping restores a namespace (the key) under another name.
	NamespaceMapping map[string]string `json:"namespaceMapping,omitempty"`
	// LabelSelector of the objects to restore; default all.
	LabelSelector *LabelSelector `json:"labelSelector,omitempty"`
	// OrLabelSelectors, of which an object has to match one; not together with labelSelector.
	OrLabelSelectors []LabelSelector `json:"orLabelSelectors,omitempty"`
	// IncludeClusterResources restores cluster-scoped objects too, or none of them; default: those that the restored namespaces need, or
	// all when no namespace is chosen.
	IncludeClusterResources *bool `json:"includeClusterResources,omitempty"`
	// ExistingResourcePolicy is none (the default), which leaves an object that is there as it is, or update.
	ExistingResourcePolicy string `json:"existingResourcePolicy,omitempty"`
	// RestoreStatus names the resources whose status is restored too; default none.
	RestoreStatus *VeleroRestoreStatus `json:"restoreStatus,omitempty"`
	// RestorePVs restores PersistentVolumes from snapshots; default true.
	RestorePVs *bool `json:"restorePVs,omitempty"`
	// Hooks run commands in pods once they are restored.
	Hooks *VeleroRestoreHooks `json:"hooks,omitempty"`
	// PreserveNodePorts keeps the node ports of Services that were not asked for by number.
	PreserveNodePorts *bool `json:"preserveNodePorts,omitempty"`
	// ResourceModifiers patch objects on their way back. They become the ConfigMap to which Velero's spec.resourceModifier refers.
	ResourceModifiers []VeleroModifier `json:"resourceModifiers,omitempty"`
	// Server sets flags of the Velero server that restores, under the flags' own names. Where it restores into the source, it is the one that backed up,
	// and is started anew with them.
	Server *VeleroServer `json:"server,omitempty"`
}

// VeleroRestoreHooks by the resources that they are for.
type VeleroRestoreHooks struct {
	Resources []VeleroRestoreHook `json:"resources"`
}

// A VeleroRestoreHook runs commands in the pods that it selects.
type VeleroRestoreHook struct {
	Name string `json:"name"`
	// IncludedNamespaces of the pods; default all.
	IncludedNamespaces []string `json:"includedNamespaces,omitempty"`
	// ExcludedNamespaces are left out.
	ExcludedNamespaces []string `json:"excludedNamespaces,omitempty"`
	// LabelSelector of the pods; default all.
	LabelSelector *LabelSelector `json:"labelSelector,omitempty"`
	// PostHooks run once the pod is restored.
	PostHooks []VeleroPostHook `json:"postHooks"`
}

// A VeleroPostHook is one command of a restore hook.
type VeleroPostHook struct {
	Exec VeleroRestoreExec `json:"exec"`
}

// VeleroRestoreExec is a command in a container of a restored pod.
type VeleroRestoreExec struct {
	// Container in which it runs; default the pod's first.
	Container string `json:"container,omitempty"`
	// Command and its arguments, without a shell.
	Command []string `json:"command"`
	// OnError is Fail, which ends the hooks of the pod, or Continue (the default).
	OnError string `json:"onError,omitempty"`
	// ExecTimeout bounds the command; default 30s.
	ExecTimeout *Duration `json:"execTimeout,omitempty"`
	// WaitTimeout bounds the wait for the container to run; default without bound.
	WaitTimeout *Duration `json:"waitTimeout,omitempty"`
}

// VeleroRestoreStatus selects resources.
type VeleroRestoreStatus struct {
	// IncludedResources whose status is restored; default all.
	IncludedResources []string `json:"includedResources,omitempty"`
	// ExcludedResources whose status is not.
	ExcludedResources []string `json:"excludedResources,omitempty"`
}

// A VeleroModifier is one of Velero's resource modifier rules; one of patches, mergePatches and strategicPatches is set.
// Source: https://velero.io/docs/v1.18/restore-resource-modifiers/
type VeleroModifier struct {
	Conditions VeleroConditions `json:"conditions"`
	// Patches are steps of a JSON patch.
	Patches []VeleroPatch `json:"patches,omitempty"`
	// MergePatches are JSON merge patches.
	MergePatches []VeleroMergePatch `json:"mergePatches,omitempty"`
	// StrategicPatches are strategic merge patches.
	StrategicPatches []VeleroMergePatch `json:"strategicPatches,omitempty"`
}

// VeleroConditions select the objects that a modifier changes.
type VeleroConditions struct {
	// GroupResource is plural.group, or a glob.
	GroupResource string `json:"groupResource"`
	// Namespaces of the objects; default all.
	Namespaces []string `json:"namespaces,omitempty"`
	// ResourceNameRegex that the object's name matches.
	ResourceNameRegex string `json:"resourceNameRegex,omitempty"`
	// LabelSelector of the objects.
	LabelSelector *LabelSelector `json:"labelSelector,omitempty"`
	// Matches are values that the object has to hold.
	Matches []VeleroMatch `json:"matches,omitempty"`
}

// A VeleroMatch is a JSON pointer and the value that is to stand there.
type VeleroMatch struct {
	Path  string `json:"path"`
	Value string `json:"value,omitempty"`
}

// A VeleroPatch is one step of a JSON patch.
type VeleroPatch struct {
	// Operation is add, remove, replace, move, copy or test.
	Operation string `json:"operation"`
	// From is the JSON pointer of what is moved or copied.
	From string `json:"from,omitempty"`
	// Path is the JSON pointer of what is changed.
	Path string `json:"path"`
	// Value in JSON; a string of letters may go without quotes.
	Value string `json:"value,omitempty"`
}

// A VeleroMergePatch is a patch in YAML or JSON.
type VeleroMergePatch struct {
	PatchData string `json:"patchData"`
}

// VeleroServer is what of `velero server` a scenario may set.
type VeleroServer struct {
	// RestoreResourcePriorities is the order in which resources are restored: names with commas, and after a "-" those that come last.
	RestoreResourcePriorities string `json:"restore-resource-priorities,omitempty"`
	// TerminatingResourceTimeout bounds the wait for a namespace or volume that is being deleted, for each object; default 10m.
	TerminatingResourceTimeout *Duration `json:"terminating-resource-timeout,omitempty"`
	// FsBackupTimeout bounds the restore of the files of one pod's volumes; default 4h.
	FsBackupTimeout *Duration `json:"fs-backup-timeout,omitempty"`
	// ResourceTimeout bounds what no other flag does, hooks of restored pods among it; default 10m.
	ResourceTimeout *Duration `json:"resource-timeout,omitempty"`
	// ClientQPS and ClientBurst bound Velero's requests a second; default 100 each.
	ClientQPS   *float64 `json:"client-qps,omitempty"`
	ClientBurst *int     `json:"client-burst,omitempty"`
}
