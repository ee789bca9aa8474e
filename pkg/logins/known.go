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
