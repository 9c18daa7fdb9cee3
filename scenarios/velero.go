package scenarios

// VeleroBackup is what of Velero's BackupSpec a scenario may set, under Velero's own names.
// Source: https://velero.io/docs/v1.18/api-types/backup/
type VeleroBackup struct {
	// IncludedNamespaces to back up; default all.
	IncludedNamespaces []string `json:"includedNamespaces,omitempty"`
}

// VeleroRestore is what of Velero's RestoreSpec a scenario may set, under Velero's own names.
// Source: https://velero.io/docs/v1.18/api-types/restore/
type VeleroRestore struct {
	// IncludedNamespaces to restore; default all that the backup has.
	IncludedNamespaces []string `json:"includedNamespaces,omitempty"`
}
