package spec

import (
	"fmt"
	"maps"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// backends are those of rclone 1.76, by each name that it takes for one; a test reads them
// in rclone's own source.
var backends = strings.Fields(`alias archive azureblob azurefiles b2 box cache chunker cloudinary combine compress crypt doi dosya drime drive
	dropbox fichier filefabric filelu filen filescom ftp gcs gofile googlecloudstorage googlephotos gphotos hasher hdfs hidrive http
	huaweidrive iclouddrive imagekit internetarchive internxt jottacloud kdrive koofr linkbox local mailru mega memory netstorage
	onedrive oos opendrive oracleobjectstorage pcloud pikpak pixeldrain premiumizeme protondrive putio qingstor quatrix s3 seafile
	sftp shade sharefile sia smb storj sugarsync swift tardigrade ulozto union webdav yandex zoho`)

// providers are those of rclone's back end s3, as it writes them; a test reads them in its source.
var providers = strings.Fields(`AWS Alibaba ArvanCloud Autonomys BizflyCloud Cellar Ceph ChinaMobile Cloudflare Cubbit DigitalOcean Dreamhost Exaba
	Fastly FileLu FlashBlade GCS HCP Hetzner HuaweiOBS IBMCOS IDrive IONOS ImpossibleCloud Infomaniak Intercolo Leviia
	Liara Linode LyveCloud Magalu Mega Minio Neon Netease OVHcloud Other Outscale Petabox Qiniu Rabata RackCorp Rclone
	RelAix Scaleway Scality SeaweedFS Selectel Servercore SpectraLogic Storj Synology TencentCOS Wasabi Zadara Zata
	ZeroServices us3`)

// OtherProviders are the providers of remotes of type s3 that rclone does not know: it takes them for
// Other, and so leaves out what the store needs.
func (s *Spec) OtherProviders() (list []Notice) {
	for _, name := range slices.Sorted(maps.Keys(s.Persistence.Remotes)) {
		r := s.Persistence.Remotes[name]
		given := r.Options["provider"].Reveal()
		if r.Type != "s3" || given == "" || strings.Contains(given, "$") || slices.Contains(providers, given) {
			continue
		}
		at := s.src.path("persistence.remotes."+name+".options", "provider")
		if !s.src.has(at) {
			at = "persistence.rclone_config"
		}
		list = append(list, Notice{at, max(s.src.key(at).line, 1), fmt.Sprintf("rclone knows no provider %s, and takes it for Other%s", shown(given), nearProvider(given))})
	}
	return list
}

// nearProvider ends a notice about a provider that there is not.
func nearProvider(word string) string {
	lower := strings.Fields(strings.ToLower(strings.Join(providers, " ")))
	if i := slices.Index(lower, Nearest(word, lower)); i >= 0 {
		return fmt.Sprintf(` (did you mean "%s"?)`, providers[i])
	}
	return ": where the store is none that rclone knows, write Other"
}

// nearBackend ends an error about a back end that there is not. All of them would be no help.
func nearBackend(word string) string {
	if near := Nearest(word, backends); near != "" {
		return fmt.Sprintf(` (did you mean "%s"?)`, near)
	}
	return ": it is s3 for a store that speaks S3, whoever runs it, and else sftp, webdav, local or another of rclone's"
}

// options checks values of options that rclone takes for something else where they are wrong.
func (c checker) options(at string, r *Remote) {
	if r.Type != "s3" {
		return
	}
	if text := r.Options["endpoint"].Reveal(); text != "" && !strings.Contains(text, "$") && !isEndpoint(text) {
		c.bad(c.s.src.path(at+".options", "endpoint"), "must be an address such as https://s3.example.com, or a host name, with a port if need be")
	}
}

// isEndpoint reports whether text can be where a store is: a host, as rclone reads it, with a
// scheme or without.
func isEndpoint(text string) bool {
	if !strings.Contains(text, "://") {
		text = "https://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || strings.ContainsAny(text, " \t") {
		return false
	}
	port, err := strconv.Atoi(u.Port())
	return u.Port() == "" && !strings.HasSuffix(u.Host, ":") || err == nil && port > 0 && port < 1<<16
}

// isBandwidth reports whether rclone takes text for a bandwidth: a rate, two for both directions,
// or a timetable of them. The grammar is that of BwTimetable in rclone's fs/bwtimetable.go.
func isBandwidth(text string) bool {
	if !strings.ContainsAny(text, " ,") {
		return isRates(text)
	}
	slots := strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == ';' })
	for _, slot := range slots {
		when, rates, ok := strings.Cut(slot, ",")
		day, hour, hasDay := strings.Cut(when, "-")
		if !hasDay {
			hour = when
		}
		if !ok || !isRates(rates) || hasDay && !isWeekday(strings.ToLower(day)) || !isTimeOfDay(hour) {
			return false
		}
	}
	return len(slots) > 0
}

func isWeekday(word string) bool {
	for _, day := range strings.Fields("sunday monday tuesday wednesday thursday friday saturday") {
		if word == day || word == day[:3] {
			return true
		}
	}
	return false
}

// isTimeOfDay reports whether text is hh:mm.
func isTimeOfDay(text string) bool {
	hour, minute, ok := strings.Cut(text, ":")
	return ok && isTwoDigits(hour, 24) && isTwoDigits(minute, 60)
}

func isTwoDigits(text string, below int) bool {
	n, err := strconv.Atoi(text)
	return err == nil && len(text) == 2 && strings.Trim(text, "0123456789") == "" && n < below
}

func isRates(text string) bool {
	up, down, two := strings.Cut(text, ":")
	return isRate(up) && (!two || isRate(down))
}

// isRate reports whether text is a number with one of rclone's units: K, Ki and KiB are one, and so
// on, B is bytes, and MB is none.
func isRate(text string) bool {
	if strings.EqualFold(text, "off") {
		return true
	}
	const units = "kKmMgGtTpPeE"
	number := strings.TrimRight(text, units+"bBiI")
	unit := text[len(number):]
	switch {
	case unit == "" || unit == "b" || unit == "B":
	case !strings.Contains(units, unit[:1]) || !slices.Contains([]string{"", "i", "I", "iB", "ib"}, unit[1:]):
		return false
	}
	scale := 1.0
	if unit == "" {
		unit = "K"
	}
	for i := 0; i <= strings.Index("KMGTPE", strings.ToUpper(unit[:1])); i++ {
		scale *= 1024
	}
	n, err := strconv.ParseFloat(number, 64)
	return err == nil && n*scale < math.MaxInt64 && strings.Trim(number, "0123456789.") == ""
}

// isTag reports whether a tailnet takes text for a tag.
func isTag(text string) bool {
	name, ok := strings.CutPrefix(text, "tag:")
	return ok && name != "" && isSlug(strings.ToLower(name)) && strings.Trim(name[:1], "0123456789") != ""
}
