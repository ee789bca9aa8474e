package rclone

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Reach says how far the options of a back end may reach that somebody else wrote: a
// spec lies in a workspace, where agents write.
type Reach int

const (
	// Store is for rclone on a host: it speaks to a store, with what it is told. No
	// option names a command, a file, or a section of a file.
	Store Reach = iota
	// Container is for rclone beside those who wrote the options: no option names a
	// command, or a file that names one, because rclone may run as another user than
	// they do.
	Container
)

// harmless are the options of each back end that a host takes from a spec. All others
// name a command (ssh, bearer_token_command, …), a file (key_file,
// shared_credentials_file, unix_socket, …), a section of one (profile), or spoil what
// this package reads (sdk_log_mode). A test holds the table to what rclone has.
var harmless = map[string]string{
	"s3": `provider env_auth access_key_id secret_access_key region endpoint location_constraint acl server_side_encryption
		sse_kms_key_id storage_class ibm_api_key ibm_resource_instance_id bucket_object_lock_enabled bucket_acl requester_pays
		sse_customer_algorithm sse_customer_key sse_customer_key_base64 sse_customer_key_md5 upload_cutoff chunk_size
		max_upload_parts copy_cutoff disable_checksum session_token role_arn role_session_name role_session_duration
		role_external_id upload_concurrency force_path_style v2_auth use_dual_stack use_accelerate_endpoint use_arn_region
		leave_parts_on_error list_chunk list_version list_url_encode no_check_bucket no_head no_head_object encoding
		disable_http2 download_url directory_markers use_multipart_etag use_unsigned_payload use_presigned_request
		use_data_integrity_protections versions version_at version_deleted decompress might_gzip use_accept_encoding_gzip
		no_system_metadata use_already_exists use_multipart_uploads list_versions_oldest_first use_x_id sign_accept_encoding
		directory_bucket ibm_iam_endpoint object_lock_mode object_lock_retain_until_date object_lock_legal_hold_status
		bypass_governance_retention object_lock_set_after_upload object_lock_supported description`,
	"webdav": `url vendor user pass bearer_token encoding headers pacer_min_sleep nextcloud_chunk_size
		owncloud_exclude_shares owncloud_exclude_mounts auth_redirect description`,
	"sftp": `host user port pass key_pem key_file_pass pubkey use_insecure_cipher disable_hashcheck pin_host_key host_keys
		path_override encoding set_modtime shell_type hashes skip_links subsystem use_fstat disable_concurrent_reads
		disable_concurrent_writes multithread_upload idle_timeout chunk_size concurrency connections ciphers key_exchange macs
		host_key_algorithms socks_proxy http_proxy copy_is_hardlink description`,
	"crypt": `filename_encryption directory_name_encryption server_side_across_configs show_mapping no_data_encryption
		pass_bad_blocks strict_names filename_encoding suffix description`,
}

// Check returns why a back end that somebody else described must not be used, or nil.
// Allowed are options that this machine's owner takes all the same, TYPE.OPTION, or
// back ends, TYPE.
func (b Backend) Check(reach Reach, allowed []string) error {
	may := func(words ...string) bool { return slices.Contains(allowed, strings.Join(words, ".")) }
	known, isKnown := harmless[b.Type]
	if reach == Store && !isKnown && !may(b.Type) {
		return configError(fmt.Errorf("the remote %q is of type %s, which a spec cannot have on a host: it may name files and commands here", b.Name, b.Type), "")
	}
	for _, given := range slices.Sorted(maps.Keys(b.Options)) {
		if err := checkOption(b.Name, given); err != nil {
			return err
		}
		name, value := optionName(given), b.Options[given]
		switch {
		case may(b.Type, name):
		case commandOption(b.Type, name):
			return configError(fmt.Errorf("the remote %q has the option %s, which names a command, or what can name one: a spec cannot", b.Name, name), "")
		case wrapsAnother(name) && connection(value):
			return configError(fmt.Errorf("the option %s of the remote %q describes another remote with options of its own: a spec cannot", name, b.Name), "name one of its remotes")
		case name == "sdk_log_mode":
			return configError(fmt.Errorf("the remote %q has the option %s, which is coltecd's own", b.Name, name), "")
		case reach == Store && isKnown && !slices.Contains(strings.Fields(known), name):
			return configError(fmt.Errorf("the remote %q has the option %s, which a spec cannot have on a host: it names a file here, or is not known", b.Name, name), "")
		}
	}
	return nil
}
