package evidence

import "time"

// Volumes are the claims that a drill seeded, in one cluster; nil Claims were not read.
type Volumes struct {
	Claims []VolumeClaim `json:"claims"`
}

// A VolumeClaim is a PersistentVolumeClaim and what lies in its volume.
type VolumeClaim struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Phase is Bound, Pending or Lost; empty where there is no such claim.
	Phase string `json:"phase,omitempty"`
	// Trouble is what its events say of a claim that is not bound.
	Trouble string `json:"trouble,omitempty"`
	// Volume that it is bound to, with what becomes of that without its claim.
	Volume        string `json:"volume,omitempty"`
	Class         string `json:"class,omitempty"`
	ReclaimPolicy string `json:"reclaimPolicy,omitempty"`
	// Files in the volume, sorted by path; nil when they were not read, and then Error says why.
	Files []VolumeFile `json:"files"`
	Error string       `json:"error,omitempty"`
	// Writer is the pod that wrote the volume ledger before the failure, by UID, and Records are those of its numbers that lie in this volume; nil
	// where the volume is not the ledger's, or was not read.
	Writer  string `json:"writer,omitempty"`
	Records []int  `json:"records,omitempty"`
}

// ID is namespace/name.
func (c VolumeClaim) ID() string { return c.Namespace + "/" + c.Name }

// A VolumeFile lies in a volume.
type VolumeFile struct {
	// Path is relative to the volume.
	Path   string `json:"path"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// A VolumeRecord is one line of the volume ledger.
type VolumeRecord struct {
	// Number of the record, from 1. The line that closes the file has End, and holds how many there are.
	Number int  `json:"number"`
	End    bool `json:"end,omitempty"`
	// At is when this process was told that it is on disk, on the drill's clock, and Written when the pod said so, by the node's clock.
	At      time.Duration `json:"at"`
	Wall    time.Time     `json:"wall"`
	Written time.Time     `json:"written"`
}

// NoSuchClaim is the Error of a claim that is not in the cluster.
const NoSuchClaim = "there is no such claim"
