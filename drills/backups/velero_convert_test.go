package backups

import (
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/restore-drill/restore-drill/scenarios"
)

// TestWhatAScenarioSaysExistsInVelero fills every field of a scenario's Velero settings, and converts them: a name or a type that Velero does not
// have is refused, and no value is lost on the way.
func TestWhatAScenarioSaysExistsInVelero(t *testing.T) {
	var b scenarios.VeleroBackup
	fill(reflect.ValueOf(&b).Elem())
	backup, err := backupSpec(&b)
	require.NoError(t, err)
	require.Equal(t, "a", backup.Hooks.Resources[0].PreHooks[0].Exec.Container)
	require.Equal(t, "a", backup.OrLabelSelectors[0].MatchExpressions[0].Key)
	require.Equal(t, int64(1), backup.TTL.Nanoseconds())
	var again scenarios.VeleroBackup
	require.NoError(t, convert(b, &again))
	require.Equal(t, b, again, "the conversion itself loses nothing")

	var r scenarios.VeleroRestore
	fill(reflect.ValueOf(&r).Elem())
	restore, err := restoreSpec(&r)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"a": "a"}, restore.NamespaceMapping)
	require.True(t, *restore.PreserveNodePorts)
	require.JSONEq(t, `{"version": "v1", "resourceModifierRules": [{
		"conditions": {"groupResource": "a", "namespaces": ["a"], "resourceNameRegex": "a", "matches": [{"path": "a", "value": "a"}],
			"labelSelector": {"matchLabels": {"a": "a"}, "matchExpressions": [{"key": "a", "operator": "a", "values": ["a"]}]}},
		"patches": [{"operation": "a", "from": "a", "path": "a", "value": "a"}],
		"mergePatches": [{"patchData": "a"}], "strategicPatches": [{"patchData": "a"}]}]}`, modifiersOf(&r))
	require.Equal(t, map[string]string{
		"restore-resource-priorities": "a", "terminating-resource-timeout": "1ns", "fs-backup-timeout": "1ns", "resource-timeout": "1ns", "client-qps": "1", "client-burst": "1",
	}, serverFlags(&r))
}

func TestAScenarioThatSaysNothingChangesNothing(t *testing.T) {
	backup, err := backupSpec(nil)
	require.NoError(t, err)
	require.Zero(t, backup)
	restore, err := restoreSpec(nil)
	require.NoError(t, err)
	require.Zero(t, restore)
	require.Empty(t, modifiersOf(nil))
	require.Empty(t, serverFlags(nil))
}

func TestConvertRefusesWhatIsNotThere(t *testing.T) {
	var into struct{ Known string }
	require.ErrorContains(t, convert(map[string]string{"unknown": "a"}, &into), `unknown field "unknown"`)
}

// fill every field with one value.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		item := reflect.New(v.Type().Elem()).Elem()
		fill(item)
		v.SetMapIndex(reflect.ValueOf("a"), item)
	case reflect.String:
		v.SetString("a")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Float64:
		v.SetFloat(1)
	default:
		v.SetInt(1)
	}
}
