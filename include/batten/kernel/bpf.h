/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
/*
 * What every user of libbpf here shares: quiet libbpf whose last words end up in the diag, and the
 * answer to "can programs be loaded on this host at all?".
 */
#include <stdbool.h>

#include "batten/base/diag.h"
#include "batten/base/macros.h"

/*
 * bpf_prepare - call once before the first skeleton is opened; further calls cost nothing
 * Silences libbpf and, on kernels that still charge BPF memory to it, raises RLIMIT_MEMLOCK.
 * Return: 0, -EPERM without CAP_BPF (or root), -EOPNOTSUPP when the kernel has no BPF or no
 *         type information of its own (/sys/kernel/btf/vmlinux), -ENOMEM, -EMFILE or -ENFILE when it
 *         could not be asked; words in @d.
 */
int bpf_prepare(struct diag *d) _must_check_;

struct bpf_object_skeleton;

/*
 * bpf_open - what a skeleton's …__open() does, with an object that was packed
 * @s:      as its …__create_skeleton() made it
 * @packed: the object's file under gzip, @n bytes; not needed afterwards
 * Return: 0 or a negative errno
 */
int bpf_open(struct bpf_object_skeleton *s, const char *packed, size_t n) _must_check_;

/*
 * bpf_fail - turn a libbpf failure into a reason
 * @error: negative errno as libbpf returned it; handed back
 * @what:  what was tried: "load the syscall observer"
 * libbpf's own last complaint is added when there was one.
 */
int bpf_fail(struct diag *d, int error, const char *what);
