package clusters

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// DefaultProvider needs nothing but this machine.
const DefaultProvider = "process"

// providers by name. A new one takes a line here.
var providers = map[string]func(Tools) Provider{
	DefaultProvider: func(t Tools) Provider {
		return NewProcess(ProcessOptions{Toolchain: t.Toolchain, StateRoot: t.StateRoot})
	},
	"kind": NewKind,
}

// Providers are the names of all providers, sorted.
func Providers() []string { return slices.Sorted(maps.Keys(providers)) }

// NewProvider makes the provider of a name.
func NewProvider(name string, tools Tools) (Provider, error) {
	create, ok := providers[name]
	if !ok {
		return nil, fmt.Errorf("unknown provider %q (want %s)", name, strings.Join(Providers(), ", "))
	}
	return create(tools), nil
}
