/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Types of the kernel, declared as far as observer.bpf.c reads them; CO-RE finds where the fields are.
 */
#define MAX_CONTROLLERS 16

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct thread_info {
	unsigned long flags;
	__u32 status;
};
struct seccomp {
	int mode;
};
struct ns_common {
	unsigned int inum;
	__u64 ns_id; /* Linux 6.18 */
};
struct mnt_namespace {
	struct ns_common ns;
	__u64 seq; /* before */
};
struct nsproxy {
	struct mnt_namespace *mnt_ns;
};
struct qstr {
	const unsigned char *name;
};
struct dentry {
	struct qstr d_name;
};
struct path {
	struct dentry *dentry;
};
struct file {
	struct path f_path;
};
struct mm_struct {
	struct file *exe_file;
};
struct cgroup_subsys_state;
struct css_set {
	struct cgroup_subsys_state *subsys[MAX_CONTROLLERS];
};
struct task_struct {
	struct thread_info thread_info;
	int pid;
	char comm[16];
	struct seccomp seccomp;
	struct nsproxy *nsproxy;
	struct css_set *cgroups;
	struct mm_struct *mm;
	__u64 start_boottime;
};
struct kernfs_node {
	const char *name;
	__u64 id;
};
struct cgroup_root {
	int hierarchy_id;
};
struct cgroup;
struct cgroup_subsys_state {
	struct cgroup *cgroup;
	struct cgroup_subsys_state *parent;
};
struct cgroup {
	struct cgroup_subsys_state self;
	struct kernfs_node *kn;
	struct cgroup_root *root;
};
#if defined(__TARGET_ARCH_x86)
struct pt_regs {
	unsigned long di, si, dx, r10, r8, r9, bx, cx, bp, orig_ax, ip, cs;
};
#else
struct pt_regs {
	__u64 regs[31];
	__u64 orig_x0;
	__u64 pstate;
	__s32 syscallno;
};
#endif
#pragma clang attribute pop
