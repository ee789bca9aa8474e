package logins

// Known are the login files of agents that coltecd knows, below the home: they are in no
// replica, whether their agent is in the spec or not.
func Known() []Agent {
	return []Agent{
		{"claude", []string{".claude/.credentials.json"}},
		{"codex", []string{".codex/auth.json"}},
		{"copilot", []string{".copilot/config.json"}},
		{"gemini", []string{".gemini/oauth_creds.json", ".gemini/google_accounts.json"}},
		{"opencode", []string{".local/share/opencode/auth.json"}},
	}
}

// FilesOf are the login files of a known agent; nil: it is not known.
func FilesOf(agent string) []string {
	for _, a := range Known() {
		if a.Name == agent {
			return a.Files
		}
	}
	return nil
}
