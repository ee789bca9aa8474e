package isolation

// Providers says which providers of a bucket rclone does not know: it speaks to the store as to any other.
func Providers(w Workspace) (found []Finding) {
	for _, n := range w.Spec.OtherProviders() {
		found = append(found, Finding{"unknown-provider", Warning, []string{w.Folder}, n.String(), "correct it in .devcontainer/workspace-spec.yaml"})
	}
	return found
}
