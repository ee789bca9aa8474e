package rclone

import (
	"fmt"
	"slices"
	"strings"
)

// optionName is the one name that rclone takes all spellings of an option for.
func optionName(given string) string { return strings.ToLower(strings.ReplaceAll(given, "-", "_")) }

// isOption reports whether that can be the name of an option. One with a dot (override.x,
// global.x) sets what rclone's flags set.
func isOption(name string) bool {
	return name != "" && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
}

// onServer are the options that name commands of an SFTP server, which are no programs here.
const onServer = "server_command md5sum_command sha1sum_command crc32sum_command sha256sum_command blake3sum_command xxh3sum_command xxh128sum_command"

// commandOption reports whether rclone may run what the option says, in any back end. In
// the files that the AWS tools read, a profile can have a credential_process.
func commandOption(kind, name string) bool {
	if kind == "sftp" && slices.Contains(strings.Fields(onServer), name) {
		return false
	}
	return name == "ssh" || strings.HasSuffix(name, "command") || kind == "s3" && (name == "shared_credentials_file" || name == "profile")
}

// wrapsAnother reports whether an option names the remote that a back end lies in.
func wrapsAnother(name string) bool {
	return name == "remote" || name == "upstreams" || name == "hash_db" || strings.HasSuffix(name, "_remote")
}

// connection reports whether a text describes a remote rather than naming one:
// `:sftp,ssh=…:path`, `name,option=…:path`, and the same behind `dir=`.
func connection(text string) bool {
	return strings.HasPrefix(text, ":") || strings.Contains(text, "=:") || strings.Contains(text, " :") ||
		strings.ContainsAny(text, ",\"'\t\r\n")
}

// wrapped names the remotes that an option of a wrapping back end says: NAME:PATH, or, for
// upstreams, several, some as DIR=NAME:PATH.
func wrapped(option, value string) (names []string) {
	places := []string{value}
	if option == "upstreams" {
		places = strings.Fields(value)
	}
	for _, place := range places {
		name, _, is := strings.Cut(place, ":")
		if name = name[strings.LastIndex(name, "=")+1:]; is && !strings.Contains(name, "/") {
			names = append(names, name)
		}
	}
	return names
}

// checkOption refuses what is not an option of a back end, whatever its value.
func checkOption(backend, given string) error {
	switch name := optionName(given); {
	case name == "type": // else it decides what the other options mean
		return configError(fmt.Errorf("the remote %q has a type among its options", backend), "write the type beside the options, not among them")
	case !isOption(name):
		return configError(fmt.Errorf("the remote %q has %q among its options, which is not an option of a back end", backend, given), "")
	}
	return nil
}
