package checks

import (
	"fmt"
	"slices"

	"github.com/restore-drill/restore-drill/internal/evidence"
	"github.com/restore-drill/restore-drill/reports"
)

var machinesCheck = Check{
	Name:       "machines",
	Title:      "Does on each machine run what the API says, and nothing else?",
	IfFailed:   "restart the kubelet of the machine that is named: it registers again, and ends what the API does not know",
	IfUnknown:  "look on the machine itself: systemctl status kubelet, crictl pods",
	OfRestored: true,
	Judge: func(run *Run, _ *reports.Report, c *reports.Check) {
		if !run.Header.Machines {
			skipped(c, "the nodes of provider %s are simulated: nothing runs on them", run.Header.Provider)
			return
		}
		c.Evidence = []string{evidence.MachinesFile}
		seen, err := evidence.ReadJSON[evidence.Machines](run.Dir, evidence.MachinesFile)
		if err != nil {
			unknown(c, "%s", unread(evidence.MachinesFile, err))
			return
		}
		if len(seen.Machines) == 0 {
			unknown(c, "no machine was looked at")
			return
		}
		tell := func(v reports.Verdict, subject, format string, args ...any) {
			find(c, reports.Finding{Verdict: v, Subject: subject, Message: fmt.Sprintf(format, args...)})
		}
		pods := 0
		var names []string
		for _, m := range seen.Machines {
			names = append(names, m.Name)
			if m.Error != "" {
				tell(reports.Unknown, "machine "+m.Name, "could not be asked: %s", m.Error)
				continue
			}
			switch {
			case !m.Registered:
				tell(reports.Failed, "machine "+m.Name, "has no Node in the API, though it is there and its kubelet is %s", m.Kubelet)
			case m.Kubelet != "active":
				tell(reports.Failed, "machine "+m.Name, "its kubelet is %s: what the API says of it is out of date", m.Kubelet)
			case !m.Ready:
				tell(reports.Failed, "machine "+m.Name, "its Node is not ready, and its kubelet is %s", m.Kubelet)
			}
			for _, p := range m.Running {
				if !slices.Contains(m.Bound, p) {
					tell(reports.Failed, "Pod "+p.Namespace+"/"+p.Name, "is a phantom: it runs on %s, and the API does not say so (UID %s)", m.Name, p.UID)
				}
			}
			for _, p := range m.Bound {
				if !slices.Contains(m.Running, p) {
					tell(reports.Failed, "Pod "+p.Namespace+"/"+p.Name, "is a ghost: it is Running in the API, and does not run on %s", m.Name)
				}
			}
			pods += len(m.Running)
		}
		for _, n := range seen.Nodes {
			if !slices.Contains(names, n) {
				tell(reports.Failed, "Node "+n, "is in the API, and there is no such machine")
			}
		}
		worst := slices.ContainsFunc(c.Findings, func(f reports.Finding) bool { return f.Verdict == reports.Failed })
		switch {
		case worst:
			failed(c, "%s, first %s", counted(len(c.Findings), "difference"), summary(c.Findings[0]))
		case len(c.Findings) > 0:
			unknown(c, "%s", summary(c.Findings[0]))
		case pods == 0:
			unknown(c, "nothing runs on %s: nothing could be compared", counted(len(names), "machine"))
		default:
			passed(c, "%s run on %s as the API says", counted(pods, "pod"), counted(len(names), "machine"))
		}
	},
}
