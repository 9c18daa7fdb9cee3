package checks

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPointerGlob(t *testing.T) {
	for _, test := range []struct {
		pattern, pointer string
		want             bool
	}{
		{"/a/b", "/a/b", true},
		{"/a/b", "/a/bc", false},
		{"/a/b", "/a", false},
		{"/a/b", "/a/b/c", false},
		{"/a/*/c", "/a/0/c", true},
		{"/a/*/c", "/a/0/d", false},
		{"/a/*", "/a/0/c", false},
		{"/a/**", "/a/0/c", true},
		{"/a/**", "/a/b", true},
		{"/a/**", "/b", false},
		{"/a/**", "", false},
		{"/**/c", "/a/c", false},
	} {
		require.Equal(t, test.want, pointerGlob(test.pattern, test.pointer), "%s %s", test.pattern, test.pointer)
	}
}

func TestEveryRuleSaysWhyAndIsLimited(t *testing.T) {
	for _, p := range profiles {
		for _, r := range p.rules {
			require.NotEmpty(t, r.name)
			require.NotEmpty(t, r.because, r.name)
			require.NotEmpty(t, r.source, r.name)
			require.NotEmpty(t, r.classes, r.name)
			require.True(t, len(r.resources) > 0 || r.label != "" || len(r.fields) > 0, "%s is about everything", r.name)
			if len(r.fields) > 0 {
				require.Equal(t, []string{changedClass}, r.classes, "%s: only an object that is there on both sides has fields to change", r.name)
			}
		}
		for _, k := range p.keys {
			require.NotEmpty(t, k.because, k.glob)
		}
	}
	// A rule without classes allows nothing.
	require.False(t, (&rule{}).covers(object{}, changedClass))
	require.True(t, etcdProfile.excuses("/registry/events/shop/web.1"))
	require.True(t, etcdProfile.excuses("/registry/leases/kube-system/apiserver-abc"))
	require.False(t, etcdProfile.excuses("/registry/leases/kube-system/operator"))
	require.False(t, etcdProfile.excuses("/registry/eventsource/x"))
}
