package checks

import (
	"fmt"
	"strconv"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/restore-drill/restore-drill/internal/evidence"
	"github.com/restore-drill/restore-drill/reports"
)

var accessCheck = Check{
	Name:       "access",
	Title:      "May everyone do what they could before, and nothing else?",
	IfFailed:   "compare the roles and bindings of the subject with those in the census before",
	IfUnknown:  "see which list of privileges is not whole, and run the drill again",
	Needs:      []string{evidence.AccessBackupFile, evidence.AccessBeforeFile, evidence.AccessAfterFile},
	OfRestored: true,
	Judge: func(run *Run, r *reports.Report, c *reports.Check) {
		var files [3][]evidence.AccessRule
		for i, name := range []string{evidence.AccessBackupFile, evidence.AccessBeforeFile, evidence.AccessAfterFile} {
			var err error
			if files[i], err = readAccess(run.Dir, name); err != nil {
				unknown(c, "%v", err)
				return
			}
		}
		backup, before, after := files[0], files[1], files[2]
		if len(before) == 0 {
			unknown(c, "the authorizer named nobody who may do anything before the failure")
			return
		}
		counts := map[string]int{}
		atBackup := newAccessList(backup)
		for _, side := range []struct {
			change string
			rules  []evidence.AccessRule
			others accessList
			// words for a privilege that the backup had, and for one that it had not: what changed between the backup and the failure, a faithful
			// restore takes back.
			had, hadNot accessWords
		}{
			{"lost", before, newAccessList(after),
				accessWords{"may no longer, in %s: %s", "compare the roles and bindings of the subject with those in the census before"},
				accessWords{"may no longer, in %s: %s (granted after the backup)", "grant it again: the backup is older than the grant"}},
			{"gained", after, newAccessList(before),
				accessWords{"may again, in %s: %s (revoked after the backup)", "revoke it again before anyone is let in: the backup is older than the revocation"},
				accessWords{"may now, in %s, and could not before: %s", "find the binding that grants it, and who made it"}},
		} {
			for _, rule := range side.rules {
				if side.others.allows(rule) {
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
				words := side.hadNot
				if atBackup.allows(rule) {
					words = side.had
				}
				find(c, reports.Finding{Verdict: reports.Failed, Subject: rule.Subject, Message: fmt.Sprintf(words.message, where, rule.Rule), Next: words.next})
			}
		}
		if lost, gained := counts["lost"], counts["gained"]; lost+gained > 0 {
			failed(c, "%s lost and %d gained, first: %s %s", counted(lost, "privilege"), gained, c.Findings[0].Subject, c.Findings[0].Message)
			return
		}
		passed(c, "all %s the same as right before the failure", counted(len(before), "privilege"))
	},
}

// accessWords of a finding.
type accessWords struct{ message, next string }

// An accessList answers what a subject may do, also for one that no binding named when the list was made.
type accessList struct {
	rules map[evidence.AccessRule]bool
	// asked are the subjects with the namespaces in which they were asked.
	asked map[evidence.AccessRule]bool
}

func newAccessList(rules []evidence.AccessRule) accessList {
	l := accessList{map[evidence.AccessRule]bool{}, map[evidence.AccessRule]bool{}}
	for _, rule := range rules {
		l.rules[rule] = true
		l.asked[evidence.AccessRule{Subject: rule.Subject, Namespace: rule.Namespace}] = true
	}
	return l
}

// everyone, and every service account, may do what these groups may.
const (
	everyone        = "Group:" + user.AllAuthenticated
	serviceAccounts = "Group:" + serviceaccount.AllServiceAccountsGroup
)

func (l accessList) allows(rule evidence.AccessRule) bool {
	for _, namespace := range []string{rule.Namespace, metav1.NamespaceDefault} {
		if l.asked[evidence.AccessRule{Subject: rule.Subject, Namespace: namespace}] {
			return l.rules[evidence.AccessRule{Subject: rule.Subject, Namespace: namespace, Rule: rule.Rule}]
		}
	}
	switch kind, _, _ := strings.Cut(rule.Subject, ":"); {
	case rule.Subject == everyone:
		return false
	case kind == rbacv1.ServiceAccountKind:
		rule.Subject = serviceAccounts
		return l.allows(rule)
	}
	rule.Subject = everyone
	return l.allows(rule)
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
