package reports

import (
	"fmt"
	"strings"
)

// Words for what became of the volumes, with the names of those that are empty.
func (v Volumes) Words() string {
	back := fmt.Sprintf("%d of %s restored", v.Restored, plural(len(v.Claims), "volume"))
	if v.Empty > 0 {
		var names []string
		for _, c := range v.Claims {
			if c.Empty {
				names = append(names, objectName(c.Namespace, c.Name))
			}
		}
		back += fmt.Sprintf(", %d empty (%s)", v.Empty, strings.Join(names, ", "))
	}
	files, records := "what the files lost is not known", "what the volume ledger lost is not known"
	if f := v.Files; f != nil {
		files = fmt.Sprintf("%d of %s lost, %d changed", f.Lost, plural(f.Before, "file"), f.Changed)
	}
	if l := v.Records; l != nil {
		records = fmt.Sprintf("%d of %s lost", l.Lost, plural(l.Acknowledged, "acknowledged record"))
	}
	return strings.Join([]string{back, files, records}, "; ")
}
