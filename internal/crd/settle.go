package crd

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensionsclient "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset/typed/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
)

// settlePoll is the pause between two looks.
const settlePoll = 20 * time.Millisecond

// Settle returns when the API server serves custom resources by what their definition says now. It follows a change of the definition by a
// moment, and nothing says when it has; so a printer column is added, which shows once the definition that has it is in force,
// and with it all that came before, and is taken away again.
func Settle(ctx context.Context, cfg *rest.Config, definition string) error {
	cfg = quiet(cfg)
	client, err := apiextensionsclient.NewForConfig(cfg)
	if err != nil {
		return fmt.Errorf("settle definition %s: %w", definition, err)
	}
	if err := settle(ctx, client, definition); err != nil {
		return fmt.Errorf("settle definition %s: %w", definition, err)
	}
	return nil
}

func settle(ctx context.Context, client apiextensionsclient.ApiextensionsV1Interface, definition string) error {
	d, err := client.CustomResourceDefinitions().Get(ctx, definition, metav1.GetOptions{})
	if err != nil {
		return err
	}
	i := slices.IndexFunc(d.Spec.Versions, func(v apiextensionsv1.CustomResourceDefinitionVersion) bool { return v.Served })
	if i < 0 {
		return nil // there is nothing that could follow
	}
	// What is read as it is stored needs no conversion, which may be what is broken.
	if stored := slices.IndexFunc(d.Spec.Versions, func(v apiextensionsv1.CustomResourceDefinitionVersion) bool { return v.Storage }); d.Spec.Versions[stored].Served {
		i = stored
	}
	version, mark := d.Spec.Versions[i], rand.Text()
	columns := fmt.Sprintf("/spec/versions/%d/additionalPrinterColumns", i)
	patch := func(operation map[string]any) error {
		raw, err := json.Marshal([]map[string]any{
			{"op": "test", "path": fmt.Sprintf("/spec/versions/%d/name", i), "value": version.Name}, operation,
		})
		if err != nil {
			return err
		}
		_, err = client.CustomResourceDefinitions().Patch(ctx, definition, types.JSONPatchType, raw, metav1.PatchOptions{})
		return err
	}
	marked := append(slices.Clone(version.AdditionalPrinterColumns),
		apiextensionsv1.CustomResourceColumnDefinition{Name: mark, Type: "string", JSONPath: ".metadata.name"})
	if err := patch(map[string]any{"op": "add", "path": columns, "value": marked}); err != nil {
		return err
	}
	var last error
	if err := wait.PollUntilContextCancel(ctx, settlePoll, true, func(ctx context.Context) (bool, error) {
		// No object has this name: only the columns are asked for.
		raw, err := client.RESTClient().Get().AbsPath("apis", d.Spec.Group, version.Name, d.Spec.Names.Plural).
			SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").
			Param("fieldSelector", "metadata.name=restoredrill-none").DoRaw(ctx)
		var table metav1.Table
		if err == nil {
			err = json.Unmarshal(raw, &table)
		}
		last = err
		return slices.ContainsFunc(table.ColumnDefinitions, func(c metav1.TableColumnDefinition) bool { return c.Name == mark }), nil
	}); err != nil {
		return fmt.Errorf("its change is not in force: %w (last answer: %v)", err, last)
	}
	if version.AdditionalPrinterColumns == nil {
		return patch(map[string]any{"op": "remove", "path": columns})
	}
	return patch(map[string]any{"op": "add", "path": columns, "value": version.AdditionalPrinterColumns})
}

// quiet is a configuration that does not hold requests back, and does not print the server's warnings.
func quiet(cfg *rest.Config) *rest.Config {
	cfg = rest.CopyConfig(cfg)
	cfg.QPS = -1
	cfg.WarningHandler = rest.NoWarnings{}
	return cfg
}
