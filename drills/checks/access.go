package checks

import (
	"fmt"
	"strconv"

	"github.com/restore-drill/restore-drill/internal/evidence"
	"github.com/restore-drill/restore-drill/reports"
)

var accessCheck = Check{
	Name:       "access",
	Title:      "May everyone do what they could before, and nothing else?",
	Needs:      []string{evidence.AccessBeforeFile, evidence.AccessAfterFile},
	OfRestored: true,
	Judge: func(run *Run, r *reports.Report, c *reports.Check) {
		before, err := readAccess(run.Dir, evidence.AccessBeforeFile)
		if err != nil {
			unknown(c, "%v", err)
			return
		}
		after, err := readAccess(run.Dir, evidence.AccessAfterFile)
		if err != nil {
			unknown(c, "%v", err)
			return
		}
		if len(before) == 0 {
			unknown(c, "the authorizer named nobody who may do anything before the failure")
			return
		}
		counts := map[string]int{}
		for _, side := range []struct {
			change, message, next string
			rules, others         []evidence.AccessRule
		}{
			{"lost", "may no longer, in %s: %s", "compare the roles and bindings of the subject with those in the census before", before, after},
			{"gained", "may now, in %s, and could not before: %s", "find the binding that grants it, and who made it", after, before},
		} {
			others := map[evidence.AccessRule]bool{}
			for _, rule := range side.others {
				others[rule] = true
			}
			for _, rule := range side.rules {
				if others[rule] {
					continue
				}
				counts[side.change]++
				if len(r.Access) < maxDifferences {
					r.Access = append(r.Access, reports.AccessDifference{Subject: rule.Subject, Namespace: rule.Namespace, Change: side.change, Rule: rule.Rule})
				}
				where := rule.Namespace
				if where == "" {
					where = "the whole cluster"
				}
				find(c, reports.Finding{Verdict: reports.Failed, Subject: rule.Subject, Message: fmt.Sprintf(side.message, where, rule.Rule), Next: side.next})
			}
		}
		if lost, gained := counts["lost"], counts["gained"]; lost+gained > 0 {
			failed(c, "%s lost and %d gained, first: %s %s", counted(lost, "privilege"), gained, c.Findings[0].Subject, c.Findings[0].Message)
			return
		}
		passed(c, "all %s the same as before", counted(len(before), "privilege"))
	},
}

// readAccess reads the rules of one cluster, whose file must be whole.
func readAccess(dir, name string) ([]evidence.AccessRule, error) {
	rules, err := evidence.ReadLines[evidence.AccessRule](dir, name)
	if err != nil {
		return nil, err
	}
	for i, rule := range rules {
		last := i == len(rules)-1
		switch {
		case rule.End != last:
			return nil, fmt.Errorf("read %s: line %d: the file has no end, or goes on after it: it is not complete", name, i+1)
		case last && rule.Rule != strconv.Itoa(i):
			return nil, fmt.Errorf("read %s: it has %d lines, its end says %s", name, i, rule.Rule)
		}
	}
	return rules[:len(rules)-1], nil
}
