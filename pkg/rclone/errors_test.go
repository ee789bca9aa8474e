package rclone

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/pkg/hint"
)

func TestClassify(t *testing.T) {
	const s3 = "operation error S3: PutObject, https response error StatusCode: "
	tests := map[string]struct {
		msg  string
		exit int
		want Class
	}{
		"412":             {s3 + "412, RequestID: x, HostID: y, api error PreconditionFailed: no", 1, Precondition},
		"409":             {s3 + "409, api error ConditionalRequestConflict: no", 1, Conflict},
		"409 bare":        {s3 + "409, api error Strange: no", 1, Conflict},
		"429":             {s3 + "429, api error TooManyRequests: no", 1, Throttled},
		"slow down":       {s3 + "503, api error SlowDown: no", 1, Throttled},
		"500":             {s3 + "500, api error InternalError: no", 1, Server},
		"502 bare":        {s3 + "502, api error BadGateway: no", 1, Server},
		"501":             {s3 + "501, api error NotImplemented: no", 1, Unsupported},
		"403":             {s3 + "403, api error AccessDenied: no", 1, Unauthorized},
		"403 bare":        {s3 + "403, api error Forbidden: no", 1, Unauthorized},
		"key":             {s3 + "403, api error InvalidAccessKeyId: no", 1, Unauthorized},
		"signature":       {s3 + "403, api error SignatureDoesNotMatch: no", 1, Unauthorized},
		"skew":            {s3 + "403, api error RequestTimeTooSkewed: no", 1, ClockSkew},
		"bucket":          {s3 + "404, api error NoSuchBucket: no", 1, NoBucket},
		"object":          {"failed to open source object: object not found", 4, NotFound},
		"directory":       {"error listing: directory not found", 3, NotFound},
		"refused":         {`dial tcp 127.0.0.1:1: connect: connection refused`, 1, Unreachable},
		"name":            {"dial tcp: lookup nowhere.invalid: no such host", 1, Unreachable},
		"silent":          {"net/http: timeout awaiting response headers: context deadline exceeded", 1, Unreachable},
		"cut":             {`Put "http://x": EOF`, 1, Unreachable},
		"certificate":     {"tls: failed to verify certificate: x509: certificate signed by unknown authority", 1, Unreachable},
		"webdav 401":      {"read metadata failed: Unauthorized: 401 Unauthorized; HTTP error 401", 1, Unauthorized},
		"disk":            {"Failed to copy: write /x: no space left on device", 1, LocalDiskFull},
		"quota":           {"write /x: disk quota exceeded", 1, LocalDiskFull},
		"changed":         {"can't copy - source file is being updated (size changed from 1 to 2)", 6, LocalChanged},
		"corrupted":       {"corrupted on transfer: sizes differ", 1, Corrupted},
		"denied":          {"open /x: permission denied", 1, LocalDenied},
		"section":         {`didn't find section in config file ("x")`, 1, Config},
		"overlap":         {"can't sync or move files on overlapping remotes", 7, Config},
		"usage":           {"", 2, Config},
		"missing, silent": {"", 4, NotFound},
		"retry, silent":   {"", 5, Unreachable},
		"511":             {s3 + "511, error while deserializing xml error response : XML syntax error", 1, Foreign},
		"redirect loop":   {s3 + "302, request send failed, Put \"/b/k\": stopped after 10 redirects", 1, Foreign},
		"redirect down":   {`Get "http://login": refusing to follow HTTPS to HTTP redirect: would send credentials in cleartext`, 1, Foreign},
		"anything":        {"strange", 1, Unclassified},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := classify(tt.msg, tt.exit); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

func TestEachClassIsDescribed(t *testing.T) {
	for _, class := range s3Codes {
		if about[class].text == "" {
			t.Errorf("no words for %s", class)
		}
	}
	for _, class := range []Class{Precondition, NotFound, Unauthorized, ClockSkew, NoBucket, WrongRegion, Archived, Unreachable, Throttled, Server,
		Foreign, Conflict, Corrupted, TooLarge, StoreFull, LocalDiskFull, LocalChanged, LocalDenied, Canceled, Unsupported, Config, Unclassified} {
		if about[class].text == "" {
			t.Errorf("no words for %s", class)
		}
	}
	if len(about) != 22 {
		t.Errorf("%d classes are described", len(about))
	}
}

func TestErrorText(t *testing.T) {
	tests := map[string]struct {
		err  *Error
		want string
	}{
		"plain":     {&Error{Op: "get", Key: "a b", Class: NotFound}, `cannot get "a b": not found`},
		"its words": {&Error{Op: "put", Key: "k", Class: Server, Text: "oops"}, `cannot put "k": the store has a fault: oops`},
		"no key":    {&Error{Op: "list", Class: Unreachable}, `cannot list: the store cannot be reached`},
		"canceled":  {&Error{Op: "put", Key: "k", Class: Canceled, cause: io.EOF}, `cannot put "k": stopped: EOF`},
		"keys":      {&Error{Op: "download", Key: "/d", Class: NotFound, Keys: []string{"a", "b"}}, `cannot download "/d": not found ("a", "b")`},
		"many keys": {&Error{Op: "download", Key: "/d", Class: NotFound, Keys: []string{"a", "b", "c", "d", "e"}}, `cannot download "/d": not found ("a", "b", "c" and 2 more)`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, tt.err.Error()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSentinels(t *testing.T) {
	type matches struct{ Precondition, NotFound, Unknown, Retry bool }
	tests := map[Class]matches{
		Precondition: {true, false, false, false},
		NotFound:     {false, true, false, false},
		Conflict:     {false, false, true, true},
		Throttled:    {false, false, true, true},
		Server:       {false, false, true, true},
		Foreign:      {false, false, true, true},
		Unreachable:  {false, false, true, true},
		Canceled:     {false, false, true, true},
		Unauthorized: {false, false, false, false},
		ClockSkew:    {false, false, false, true},
	}
	for class, want := range tests {
		var err error = &Error{Class: class, cause: context.Canceled}
		got := matches{errors.Is(err, ErrPrecondition), errors.Is(err, ErrNotFound), errors.Is(err, ErrUnknown), ClassOf(err).Retry()}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", class, diff)
		}
	}
	err := &Error{Class: NoBucket, cause: io.EOF}
	if !errors.Is(err, io.EOF) || len(hint.Of(err)) != 1 {
		t.Errorf("cause or hint is lost: %v %q", err, hint.Of(err))
	}
	if ClassOf(io.EOF) != Unclassified {
		t.Error("a foreign error has a class")
	}
}

func TestTidy(t *testing.T) {
	for in, want := range map[string]string{
		"Post request rcat error: operation error S3: PutObject, https response error StatusCode: 412, RequestID: 8BD0, HostID: OEJE==, api error PreconditionFailed:\n PreconditionFailed":                                                                             "Post request rcat error: operation error S3: PutObject, https response error StatusCode: 412, api error PreconditionFailed: PreconditionFailed",
		`operation error S3: PutObject, exceeded maximum number of attempts, 1, https response error StatusCode: 0, RequestID: , HostID: , request send failed, Put "http://127.0.0.1:9/b/o/probe-1?x-id=PutObject": dial tcp 127.0.0.1:9: connect: connection refused`: "operation error S3: PutObject, dial tcp 127.0.0.1:9: connect: connection refused",
	} {
		if diff := cmp.Diff(want, tidy(in)); diff != "" {
			t.Error(diff)
		}
	}
}
