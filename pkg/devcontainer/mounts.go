package devcontainer

import (
	"encoding/json"
	"path/filepath"
	"strings"
)

// Quoted is the text of a devcontainer.json, JSON without comments, in which the folder of the
// host stands in mounts as Docker reads them. A mount is a line of CSV, and the dev container CLI
// puts the path in the place of ${localWorkspaceFolder} as it is: with a comma or a quote
// in it Docker takes it for something else.
func Quoted(text []byte, folder string) ([]byte, error) {
	if !strings.ContainsAny(folder, `,"`+"\n") {
		return text, nil
	}
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(text, &keys); err != nil || keys == nil {
		return text, err
	}
	var mount string
	if json.Unmarshal(keys["workspaceMount"], &mount) == nil {
		keys["workspaceMount"] = quoted(quotedMount(mount, folder))
	}
	var mounts []json.RawMessage
	if json.Unmarshal(keys["mounts"], &mounts) == nil && mounts != nil {
		for i, m := range mounts {
			if json.Unmarshal(m, &mount) == nil {
				mounts[i] = quoted(quotedMount(mount, folder))
			}
		}
		var err error
		if keys["mounts"], err = json.Marshal(mounts); err != nil {
			return nil, err
		}
	}
	return json.Marshal(keys)
}

// quotedMount is a mount with the folder's path and name in it. Fields that are quoted already
// stay as they are.
func quotedMount(mount, folder string) string {
	if strings.Contains(mount, `"`) {
		return mount
	}
	said := strings.NewReplacer("${localWorkspaceFolder}", folder, "${localWorkspaceFolderBasename}", filepath.Base(folder))
	fields := strings.Split(mount, ",")
	for i, f := range fields {
		fields[i] = field(said.Replace(f))
	}
	return strings.Join(fields, ",")
}

// field is one of a mount, which are parted by commas.
func field(s string) string {
	if strings.ContainsAny(s, `,"`+"\n") {
		return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
	}
	return s
}
