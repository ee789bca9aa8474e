package toolbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/coltec/coltec/pkg/order"
)

// schemaOf is the JSON Schema of an order's arguments.
func schemaOf(o order.Order) map[string]any {
	properties, required := map[string]any{}, []string{}
	for _, p := range o.Params {
		property := map[string]any{"type": "string", "description": p.Text}
		switch p.Kind {
		case order.Flag:
			property["type"] = "boolean"
		case order.Number:
			property["type"], property["minimum"], property["maximum"] = "integer", 1, order.NumberMost
		}
		properties[p.Name] = property
		if p.Required {
			required = append(required, p.Name)
		}
	}
	return map[string]any{"type": "object", "properties": properties, "required": required, "additionalProperties": false}
}

// arguments are those of a call as an order takes them. A number may stand for a text: models
// write the number of a generation so.
func arguments(raw json.RawMessage) (map[string]string, error) {
	args := map[string]string{}
	if len(raw) == 0 {
		return args, nil
	}
	var given map[string]any
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if err := dec.Decode(&given); err != nil {
		return nil, errors.New("the arguments are not a JSON object")
	}
	for name, value := range given {
		switch v := value.(type) {
		case nil:
		case string:
			args[name] = v
		case bool:
			args[name] = strconv.FormatBool(v)
		case json.Number:
			args[name] = v.String()
		default:
			return nil, fmt.Errorf("%.40q is neither a text nor a number, true or false", name)
		}
	}
	return args, nil
}
