package checks

import (
	"encoding/json"
	"fmt"
	"path"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/restore-drill/restore-drill/internal/census"
	"github.com/restore-drill/restore-drill/internal/evidence"
	"github.com/restore-drill/restore-drill/reports"
)

var readinessCheck = Check{
	Name:       "readiness",
	Title:      "Is every workload as ready as it was?",
	IfFailed:   "describe the object in the restored cluster: its events say what it waits for",
	IfUnknown:  "seed the cluster with workloads that become ready, so that there is something to compare",
	Needs:      []string{evidence.CensusBeforeFile, evidence.CensusAfterFile},
	OfRestored: true,
	Judge: func(run *Run, r *reports.Report, c *reports.Check) {
		now := map[string]workload{}
		for _, w := range run.survey(evidence.CensusAfterFile).workloads {
			now[w.key] = w
		}
		p := run.profile()
		compared, worse, left := 0, 0, 0
		for _, was := range run.survey(evidence.CensusBeforeFile).workloads {
			if was.ready == 0 {
				continue
			}
			compared++
			is, there := now[was.key]
			if there && is.ready >= was.ready {
				continue
			}
			if !there && p != nil && p.allows(was.object, lostClass) {
				left++
				continue
			}
			worse++
			message := fmt.Sprintf("was %s, and is gone", was)
			if there {
				message = fmt.Sprintf("was %s, and is %s", was, is)
			}
			find(c, reports.Finding{Verdict: reports.Failed, Subject: was.name, Message: message})
		}
		switch {
		case worse > 0:
			failed(c, "%s less ready than before, first %s", counted(worse, "object"), summary(c.Findings[0]))
		case compared == 0:
			unknown(c, "nothing was ready before the failure, so nothing can be compared")
		case left > 0:
			passed(c, "%s as ready as before, and %s gone as profile %s allows", counted(compared-left, "object"), counted(left, "object"), p.name)
		default:
			passed(c, "%s as ready as before", counted(compared, "object"))
		}
	},
}

// A workload is an object whose status says how much of it works.
type workload struct {
	key, name string
	object    object
	// ready of wanted parts. An object that works or does not has one part.
	ready, wanted int
	state         string
}

func (w workload) String() string { return fmt.Sprintf("%d of %d %s", w.ready, w.wanted, w.state) }

// status is what the kinds below have in it, taken together.
type status struct {
	Replicas               *int   `json:"replicas"`
	ReadyReplicas          int    `json:"readyReplicas"`
	DesiredNumberScheduled int    `json:"desiredNumberScheduled"`
	NumberReady            int    `json:"numberReady"`
	Phase                  string `json:"phase"`
	Conditions             []struct {
		Type   string `json:"type"`
		Status string `json:"status"`
	} `json:"conditions"`
}

func (s status) is(condition string) bool {
	for _, c := range s.Conditions {
		if c.Type == condition {
			return c.Status == "True"
		}
	}
	return false
}

// readWorkload reads how ready an object is; false for one of which nobody can say that.
func readWorkload(e *census.Entry) (workload, bool) {
	resource := strings.TrimPrefix(resourceOf(e.Key), "/")
	read, known := readers[resource]
	if !known {
		return workload{}, false
	}
	var o struct {
		Metadata struct {
			OwnerReferences []metav1.OwnerReference `json:"ownerReferences"`
		} `json:"metadata"`
		Spec struct {
			Replicas *int `json:"replicas"`
		} `json:"spec"`
		Status status `json:"status"`
	}
	if err := json.Unmarshal(e.Object, &o); err != nil {
		return workload{}, false
	}
	controller := metav1.GetControllerOf(&metav1.ObjectMeta{OwnerReferences: o.Metadata.OwnerReferences})
	if resource == "apps/replicasets" && controller != nil && controller.Kind == "Deployment" {
		return workload{}, false // its Deployment moves pods from one to the next, and is judged itself
	}
	if resource == "pods" && isMirror(e.Object) {
		return workload{}, false // it says what its kubelet saw last; what runs is for the check machines
	}
	wanted := 1
	if o.Spec.Replicas != nil {
		wanted = *o.Spec.Replicas
	}
	w := read(o.Status, wanted)
	w.object = object{resource: resource, namespace: e.Namespace, name: e.Name, labels: labels(e.Object), raw: e.Object}
	w.key, w.name = e.Key, label(resourceOf(e.Key), e.Version)+" "+path.Join(e.Namespace, e.Name)
	return w, true
}

// readers of the resources whose readiness is compared.
var readers = map[string]func(s status, replicas int) workload{
	"apps/deployments":  replicas,
	"apps/statefulsets": replicas,
	"apps/replicasets":  replicas,
	"apps/daemonsets": func(s status, _ int) workload {
		return workload{ready: s.NumberReady, wanted: s.DesiredNumberScheduled, state: "ready"}
	},
	"batch/jobs": func(s status, _ int) workload { return whole(s.is("Complete"), "complete") },
	"nodes":      func(s status, _ int) workload { return whole(s.is("Ready"), "ready") },
	"pods": func(s status, _ int) workload {
		return whole(s.Phase == "Succeeded" || s.is("Ready"), "ready or succeeded")
	},
	"persistentvolumeclaims": func(s status, _ int) workload { return whole(s.Phase == "Bound", "bound") },
	"persistentvolumes":      func(s status, _ int) workload { return whole(s.Phase == "Bound" || s.Phase == "Available", "usable") },
	"namespaces":             func(s status, _ int) workload { return whole(s.Phase == "Active", "active") },
	"apiextensions.k8s.io/customresourcedefinitions": func(s status, _ int) workload { return whole(s.is("Established"), "established") },
	"apiregistration.k8s.io/apiservices":             func(s status, _ int) workload { return whole(s.is("Available"), "available") },
}

func replicas(s status, wanted int) workload {
	return workload{ready: s.ReadyReplicas, wanted: wanted, state: "ready"}
}

func whole(ready bool, state string) workload {
	w := workload{wanted: 1, state: state}
	if ready {
		w.ready = 1
	}
	return w
}
