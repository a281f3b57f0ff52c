/* A sandbox: a process that has meshed installs a filter that ends it at any system call but those that an allocator is
   known to make, and goes on to allocate, to fragment its heap, to sleep and to fork. A filter that the kernel refuses
   changes nothing. */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mallctl.h"
#include "sparse.h"

enum { OBJECTS = 4000, SIZE = 256, SKIPPED = 77 };

static const unsigned allowed[] = {
    SYS_read, SYS_write, SYS_close, SYS_mmap, SYS_munmap, SYS_mremap, SYS_mprotect, SYS_madvise, SYS_brk, SYS_futex,
    SYS_exit, SYS_exit_group, SYS_clock_gettime, SYS_clock_nanosleep, SYS_nanosleep, SYS_ppoll, SYS_rt_sigprocmask,
    SYS_rt_sigpending, SYS_rt_sigreturn, SYS_getpid, SYS_gettid, SYS_getrandom, SYS_clone, SYS_wait4,
    SYS_set_robust_list,
#ifdef SYS_rseq
    SYS_rseq,
#endif
};
enum { ALLOWED = sizeof allowed / sizeof *allowed };

static struct sock_fprog make_filter(void) {
  static struct sock_filter filter[2 * ALLOWED + 2];
  unsigned n = 0;
  filter[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
  for (unsigned i = 0; i < ALLOWED; i++) {
    filter[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, allowed[i], 0, 1);
    filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  }
  filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
  return (struct sock_fprog){(unsigned short)n, filter};
}

static long by_prctl(struct sock_fprog *p) { return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, p, 0, 0); }
static long by_call(struct sock_fprog *p) { return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, p); }

static struct sparse heap;

static bool unchanged(void) {
  for (size_t i = 0; i < OBJECTS; i++)
    for (size_t at = 0; at < SIZE; at++)
      if (((unsigned char *)heap.object[i])[at] != (unsigned char)i) return false;
  return true;
}

static void work(void) {
  struct dice dice = {2};
  sigset_t all, old;
  for (int i = 0; i < 20; i++) {
    struct sparse more = sparse_new(OBJECTS, SIZE, &dice);
    compact();
    usleep(5000);
    sparse_free(&more);
  }
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, &old);
  sigprocmask(SIG_SETMASK, &old, NULL);
}

/* 0, or the number of the step that failed. */
static int be_filtered(long (*install)(struct sock_fprog *)) {
  struct sock_fprog filter = make_filter(), none = {1, NULL};
  struct dice dice = {1};
  int status;
  heap = sparse_new(OBJECTS, SIZE, &dice);
  for (size_t i = 0; i < OBJECTS; i++) memset(heap.object[i], (int)i, SIZE);
  compact();
  if (mallctl_figure("stats.meshed") == 0) return SKIPPED;
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return SKIPPED;
  if (install(&none) == 0) return 1;
  compact();
  if (mallctl_figure("stats.meshed") == 0) return 2;
  if (install(&filter) != 0) return SKIPPED;
  if (mallctl_figure("stats.meshed") != 0) return 3;
  work();
  if (!unchanged()) return 4;
  pid_t child = fork();
  if (child == 0) {
    work();
    _exit(unchanged() ? 0 : 5);
  }
  if (waitpid(child, &status, 0) != child || status != 0) return 6;
  sparse_free(&heap);
  work();
  return 0;
}

int main(void) {
  static long (*const ways[])(struct sock_fprog *) = {by_prctl, by_call};
  for (int i = 0; i < 2; i++) {
    int status = 0;
    pid_t child = fork();
    if (child == 0) _exit(be_filtered(ways[i]));
    waitpid(child, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED) {
      printf("mesh_filter: nothing meshes here, or there are no filters: left out\n");
      return SKIPPED;
    }
    if (status == 0) continue;
    printf("mesh_filter: way %d: status %#x\n", i, status);
    return 1;
  }
  puts("mesh_filter: ok");
  return 0;
}
