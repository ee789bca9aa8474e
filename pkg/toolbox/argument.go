package toolbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
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
func arguments(o order.Order, raw json.RawMessage) (map[string]string, error) {
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
	kinds := map[string]order.Kind{}
	for _, p := range o.Params {
		kinds[p.Name] = p.Kind
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if given[name] == nil {
			continue // as if it were not there: clients fill in what a model leaves out
		}
		value, err := argument(kinds[name], given[name])
		if err != nil {
			return nil, fmt.Errorf("%s: %.40q %w", o.Name, name, err)
		}
		args[name] = value
	}
	return args, nil
}

// argument is a value as an order takes it. What is no flag cannot be true or false, and a flag is
// nothing else: an order that is to be tried only is not carried out for a word in its place.
func argument(kind order.Kind, value any) (string, error) {
	switch v := value.(type) {
	case string:
		if kind == order.Flag && v == "" {
			return "", errors.New("is true or false")
		}
		return v, nil
	case bool:
		if kind != order.Flag && kind != "" {
			return "", errors.New("is a text, and neither true nor false")
		}
		return strconv.FormatBool(v), nil
	case json.Number:
		return number(v), nil
	}
	return "", errors.New("is neither a text nor a number, true or false")
}

// number is one as an order takes it: 5.0 and 5e0 are integers in JSON, too.
func number(n json.Number) string {
	f, err := n.Float64()
	if err != nil || f != math.Trunc(f) || math.Abs(f) >= 1<<53 {
		return n.String()
	}
	return strconv.FormatInt(int64(f), 10)
}
