/* fork: while other threads store, allocate and free, children are made in every way there is. A child finds the heap
   as it was when it was made and nothing that the parent stores later; what it stores, the parent never sees. */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mallctl.h"
#include "table.h"

enum { STACK_SIZE = 1 << 18, MOST_GENERATIONS = 3 };

extern char **environ;

/* What a child is told. */
struct birth {
  struct worker *w;
  struct table *own;    /* nobody stores into these objects while the child is made */
  struct table *locked; /* the set of these objects does not change while it is made, but the words do */
  int generation;
  bool raw; /* made behind libc's back, from a process with threads: the child must not allocate */
};

static uint64_t sum_of_all(void) {
  uint64_t sum = 0;
  for (int i = 0; i <= stress_threads; i++) sum = sum * 31 + table_sum(&tables[i]);
  return sum;
}

static void wait_for(pid_t child, const char *kind) {
  int status = 0;
  pid_t pid;
  do pid = waitpid(child, &status, 0);
  while (pid < 0 && errno == EINTR);
  if (pid != child || status != 0) fail("%s: waitpid gives %d, status %#x, errno %d", kind, pid, status, errno);
}

static void *use_heap(void *argument) {
  struct dice *dice = argument;
  static _Thread_local struct object object[500];
  for (int i = 0; i < 3000; i++) {
    struct object *o = &object[dice_below(dice, 500)];
    if (o->words != NULL)
      object_delete(o);
    else
      object_new(o, 16 << dice_below(dice, 8), dice);
  }
  for (int i = 0; i < 500; i++) object_delete(&object[i]);
  return NULL;
}

static void be_parent_again(struct birth *b);

static void live_on(struct birth *b) {
  struct dice *dice = &b->w->dice;
  table_check(b->own, "in a child");
  if (!b->raw) {
    use_heap(dice);
    if (dice_below(dice, 4) == 0) join_new_thread(use_heap, dice);
    if (dice_below(dice, 4) == 0) close_range(3, ~0u, 0);
    if (dice_below(dice, 2) == 0) compact();
    table_check(b->own, "in a child that uses the heap");
    table_store(b->own);
    if (dice_below(dice, 2) == 0) compact();
    if (b->generation < MOST_GENERATIONS && dice_below(dice, 3) == 0) be_parent_again(b);
    table_thin(b->own, dice);
    table_store(b->own);
  }
}

static int be_child(void *argument) {
  struct birth *b = argument;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const uint64_t sum = sum_of_all();
  table_check(b->locked, "in a child, another thread's object");
  pause_up_to(&b->w->dice, 3000);
  if (sum_of_all() != sum) fail("the heap of a child changes while it stores nothing");
  live_on(b);
  table_scribble(b->locked, UINT64_C(0xbad00bad00bad));
  table_scribble(b->own, UINT64_C(0xbad00bad00bad));
  pause_up_to(&b->w->dice, 1000);
  _exit(0);
}

static void finish(struct birth *b, pid_t child, const char *kind) {
  if (child < 0) fail("%s: errno %d", kind, errno);
  table_check(b->own, "after making a child");
  table_store(b->own);
  wait_for(child, kind);
  table_check(b->own, "after a child's end");
}

static void be_parent_again(struct birth *b) {
  struct birth next = *b;
  next.generation++;
  b->w->dice.state++;
  pid_t child = fork();
  if (child == 0) be_child(&next);
  finish(b, child, "fork in a child");
}

/* -------------------------------------------------------------------------- ways to make a child */

static pid_t by_fork(struct birth *b) {
  (void)b;
  return fork();
}

static pid_t by_bare_fork(struct birth *b) {
  b->raw = true;
  return _Fork();
}

static pid_t by_clone_call(struct birth *b) {
  b->raw = true;
#if defined(__x86_64__)
  return (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, 0);
#else
  return (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, 0, NULL);
#endif
}

static pid_t by_clone(struct birth *b) {
  static char *stack;
  if (stack == NULL) stack = plain_memory(STACK_SIZE);
  b->raw = true;
  return clone(be_child, stack + STACK_SIZE, SIGCHLD, b);
}

static void by_vfork_and_exec(void) {
  pid_t child = vfork();
  if (child == 0) {
    execl("/bin/true", "true", (char *)NULL);
    _exit(127);
  }
  must(child > 0);
  wait_for(child, "vfork and exec");
}

static void by_fork_and_exec(void) {
  pid_t child = fork();
  if (child == 0) {
    execl("/bin/true", "true", (char *)NULL);
    _exit(127);
  }
  must(child > 0);
  wait_for(child, "fork and exec");
}

static void by_spawn(void) {
  char *const arguments[] = {"true", NULL};
  pid_t child = -1;
  must(posix_spawn(&child, "/bin/true", NULL, NULL, arguments, environ) == 0);
  wait_for(child, "posix_spawn");
}

static void by_system(void) {
  int status = system("exit 7");
  if (status != 7 << 8) fail("system: status %#x, errno %d", status, errno);
}

static void by_popen(void) {
  char line[100] = "";
  FILE *pipe = popen("echo a line", "r");
  must(pipe != NULL);
  if (fgets(line, sizeof line, pipe) == NULL || strcmp(line, "a line\n") != 0) fail("popen: read \"%s\"", line);
  must(pclose(pipe) == 0);
}

static void run_other_program(struct dice *dice) {
  static void (*const ways[])(void) = {by_vfork_and_exec, by_fork_and_exec, by_spawn, by_system, by_popen};
  ways[dice_below(dice, 5)]();
}

static void make_child(struct worker *w, struct table *own) {
  static const struct {
    pid_t (*make)(struct birth *b);
    const char *name;
  } ways[] = {{by_fork, "fork"}, {by_bare_fork, "_Fork"}, {by_clone_call, "syscall(SYS_clone)"}, {by_clone, "clone"}};
  static const int choice[] = {0, 0, 0, 1, 2, 3};
  struct birth b = {.w = w, .own = own, .generation = 1};
  const int way = choice[dice_below(&w->dice, 6)];
  b.locked = stress_threads > 0 ? &tables[dice_below(&w->dice, (size_t)stress_threads)] : own;
  w->dice.state++;
  pthread_mutex_lock(&b.locked->lock);
  pid_t child = ways[way].make(&b);
  if (child == 0) be_child(&b);
  pthread_mutex_unlock(&b.locked->lock);
  finish(&b, child, ways[way].name);
}

void fork_part(struct worker *w) {
  struct table *own = &tables[stress_threads];
  while (running()) {
    table_fill(own, &w->dice);
    table_thin(own, &w->dice);
    for (int i = 0; running() && i < 5; i++) {
      make_child(w, own);
      if (dice_below(&w->dice, 4) == 0) run_other_program(&w->dice);
      did_one(w);
      pause_up_to(&w->dice, 20000);
    }
  }
}

/* ------------------------------------------------------------ before there are other threads at work */

/* A child of a process without threads may allocate, however it was made. */
static void make_lone_child(struct worker *w, struct table *own, pid_t (*make)(struct birth *b), const char *name) {
  struct birth b = {.w = w, .own = own, .locked = own, .generation = 1};
  w->dice.state++;
  pid_t child = make(&b);
  if (child == 0) {
    b.raw = false;
    be_child(&b);
  }
  finish(&b, child, name);
}

void alone_part(struct worker *w) {
  struct table *own = &tables[stress_threads];
  table_fill(own, &w->dice);
  table_thin(own, &w->dice);
  for (int i = 0; i < 5; i++) {
    compact();
    make_lone_child(w, own, by_fork, "fork, alone");
    compact();
    make_lone_child(w, own, by_bare_fork, "_Fork, alone");
    compact();
    make_lone_child(w, own, by_clone_call, "syscall(SYS_clone), alone");
    compact();
    make_lone_child(w, own, by_clone, "clone, alone");
    did_one(w);
  }
}

#if defined(__x86_64__)
/* As programs do that bring their own system calls. */
static pid_t by_instruction(struct birth *b) {
  (void)b;
  long result;
  register long fourth __asm__("r10") = 0;
  register long fifth __asm__("r8") = 0;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(SYS_clone), "D"((long)SIGCHLD), "S"(0L), "d"(0L), "r"(fourth), "r"(fifth)
                   : "rcx", "r11", "memory");
  return (pid_t)result;
}
#endif

void bare_part(struct worker *w) {
#if defined(__x86_64__)
  struct table *own = &tables[stress_threads];
  table_fill(own, &w->dice);
  table_thin(own, &w->dice);
  compact();
  make_lone_child(w, own, by_instruction, "a clone that no library sees");
#endif
  did_one(w);
}
