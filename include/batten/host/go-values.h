/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * Values as Go's standard library reads them, for the ECS agent and ecs-init are written in Go and
 * what they make of a text is the only thing that counts. Facts: packages strconv, time, strings.
 */
#include <stdbool.h>
#include <stdint.h>

#include "batten/base/parse.h"

/* strings.TrimSpace: Unicode's white space, so a no-break space goes too. */
struct slice go_trim_space(struct slice s);

/* strconv.ParseBool: 1 t T true TRUE True, 0 f F false FALSE False. Return: 0 or -EINVAL. */
int go_parse_bool(struct slice s, bool *ret) _must_check_;

/*
 * go_parse_int - strconv.ParseInt(s, 10, 64) and Atoi: one sign, then digits
 * @ret: always written: 0 with -EINVAL, the nearest bound with -ERANGE (callers in Go that drop
 *       the error go on with just that)
 */
int go_parse_int(struct slice s, int64_t *ret);

/* strconv.ParseUint(s, 10, …): digits only, at most @max. -EINVAL, -ERANGE. */
int go_parse_uint(struct slice s, uint64_t max, uint64_t *ret) _must_check_;

/* time.ParseDuration, nanoseconds. -EINVAL syntax, -ENODATA unit missing or unknown, -ERANGE. */
int go_parse_duration(struct slice s, int64_t *ret_ns) _must_check_;

/* strconv.ParseFloat in decimal notation, inf and nan. -EINVAL, -ERANGE. */
int go_parse_float(struct slice s, double *ret) _must_check_;

/* time.Duration.String: "1h30m0s", "1.5s", "250ms", "0s". */
#define GO_DURATION_SIZE 40
const char *go_duration_text(char buf[static GO_DURATION_SIZE], int64_t ns);

/* net.ParseCIDR: an IPv4 or IPv6 address, a slash, a prefix length. Return: 0 or -EINVAL. */
int go_parse_cidr(struct slice s) _must_check_;

/*
 * go_utf8_next - decode one code point as Go's range over a string does
 * @ret: U+FFFD for a byte that starts nothing valid
 * Return: bytes used, 0 at the end
 */
size_t go_utf8_next(struct slice s, uint32_t *ret);
