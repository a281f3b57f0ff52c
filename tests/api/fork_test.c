/* fork: parent and child both go on allocating, and neither sees the other. */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "test.h"

enum { SHARED = 2000 };
static void *shared[SHARED];

static size_t shared_size(int i) { return 1 + (size_t)i * i % 3000; }

static void make_shared(void) {
  for (int i = 0; i < SHARED; i++) {
    assert_non_null(shared[i] = malloc(shared_size(i)));
    pattern_fill(shared[i], shared_size(i), i);
  }
}

static bool shared_holds(void) {
  for (int i = 0; i < SHARED; i++)
    if (pattern_mismatch(shared[i], shared_size(i), i) != shared_size(i)) return false;
  return true;
}

static void free_shared(void) {
  for (int i = 0; i < SHARED; i++) free(shared[i]);
}

static bool churn(uint64_t seed, int count) {
  void *objects[32] = {NULL};
  size_t sizes[32] = {0};
  struct dice dice = {seed};
  bool good = true;
  for (int i = 0; good && i < count; i++) {
    int slot = dice_below(&dice, 32);
    good = pattern_mismatch(objects[slot], sizes[slot], slot) == sizes[slot];
    sizes[slot] = dice_size(&dice, i % 100 ? 12 : 20);
    free(objects[slot]);
    objects[slot] = malloc(sizes[slot]);
    good = good && objects[slot];
    if (good) pattern_fill(objects[slot], sizes[slot], slot);
  }
  for (int slot = 0; slot < 32; slot++) free(objects[slot]);
  return good;
}

static void *churn_thread(void *argument) { return churn(1, 3000) ? argument : NULL; }

/* A lock that nobody in the child will release shows as a child that never ends. */
static void begin_child(void) { alarm(60); }

static void end_child(bool good) { _exit(good ? 0 : 1); }

static void check_child(pid_t child) {
  int status;
  assert_true(child > 0);
  assert_int_equal(waitpid(child, &status, 0), child);
  if (WIFSIGNALED(status))
    fail_msg("the child died of signal %d%s", WTERMSIG(status), WTERMSIG(status) == SIGALRM ? ", stuck" : "");
  assert_int_equal(WEXITSTATUS(status), 0);
}

static void child_uses_the_heap(void) {
  begin_child();
  bool good = shared_holds();
  for (int i = 0; i < SHARED; i++) memset(shared[i], 0xEE, shared_size(i));
  free_shared();
  good = good && churn(getpid(), 3000);
  end_child(good);
}

static void single_thread_forks(void **state) {
  (void)state;
  make_shared();
  for (int i = 0; i < 20; i++) {
    pid_t child = fork();
    if (child == 0) child_uses_the_heap();
    assert_true(churn(i, 3000));
    check_child(child);
    assert_true(shared_holds());
  }
  free_shared();
}

static void child_starts_threads(void **state) {
  (void)state;
  pid_t child = fork();
  if (child == 0) {
    begin_child();
    bool good = true;
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, churn_thread, threads);
    for (int i = 0; i < 4; i++) {
      void *result;
      pthread_join(threads[i], &result);
      good = good && result;
    }
    end_child(good);
  }
  check_child(child);
}

static void grandchildren_fork_too(void **state) {
  (void)state;
  make_shared();
  pid_t child = fork();
  if (child == 0) {
    begin_child();
    bool good = true;
    for (int depth = 0; depth < 5; depth++) {
      good = good && shared_holds() && churn(depth, 1000);
      pid_t next = fork();
      if (next == 0) continue;
      int status;
      waitpid(next, &status, 0);
      end_child(good && status == 0);
    }
    end_child(good);
  }
  check_child(child);
  free_shared();
}

static atomic_bool stop;

static void *churn_until_stopped(void *argument) {
  bool good = true;
  for (uint64_t seed = 0; good && !atomic_load(&stop); seed++) good = churn(seed, 200);
  return good ? argument : NULL;
}

static void many_forks_among_threads(void **state) {
  (void)state;
  pthread_t threads[4];
  make_shared();
  atomic_store(&stop, false);
  for (int i = 0; i < 4; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, churn_until_stopped, threads), 0);
  for (int i = 0; i < 60; i++) {
    pid_t child = fork();
    if (child == 0) child_uses_the_heap();
    check_child(child);
  }
  atomic_store(&stop, true);
  for (int i = 0; i < 4; i++) {
    void *good;
    pthread_join(threads[i], &good);
    assert_non_null(good);
  }
  assert_true(shared_holds());
  free_shared();
}

/* What is left of many small objects, in pages of which a few slots are used each: those that share their
 * memory. */
enum { SPARSE = 60000 };
static void *sparse[SPARSE];

static size_t sparse_size(int i) { return 16 + i % 16 * 16; }

static void make_sparse_heap(void) {
  for (int i = 0; i < SPARSE; i++) assert_non_null(sparse[i] = malloc(sparse_size(i)));
  for (int i = 0; i < SPARSE; i++) {
    if (i * 7919u % 8 == i / 4096 % 8u) continue;
    free(sparse[i]);
    sparse[i] = NULL;
  }
}

static void fill_sparse(uint64_t key) {
  for (int i = 0; i < SPARSE; i++)
    if (sparse[i]) pattern_fill(sparse[i], sparse_size(i), key + i);
}

static bool sparse_holds(uint64_t key) {
  for (int i = 0; i < SPARSE; i++)
    if (sparse[i] && pattern_mismatch(sparse[i], sparse_size(i), key + i) != sparse_size(i)) return false;
  return true;
}

/* Time, and the small allocations that a program makes meanwhile: whatever the allocator does behind its
 * back. */
static void let_time_pass(void) {
  for (int i = 0; i < 20; i++) {
    usleep(10000);
    churn(i, 200);
  }
}

/* These fail when the other side has died, which check_child() reports. */
static bool send_byte(int file) { return write(file, "", 1) == 1; }

static void await_byte(int file) {
  char byte;
  while (read(file, &byte, 1) < 0) continue;
}

/* The parent writes first, then the child; each must go on seeing its own bytes alone. */
static void sparse_heaps_part_at_fork(void **state) {
  (void)state;
  signal(SIGPIPE, SIG_IGN);
  make_sparse_heap();
  for (int round = 0; round < 5; round++) {
    int to_child[2], to_parent[2];
    assert_int_equal(pipe(to_child) | pipe(to_parent), 0);
    fill_sparse(0);
    let_time_pass();
    pid_t child = fork();
    if (child == 0) {
      begin_child();
      await_byte(to_child[0]);
      bool good = sparse_holds(0);
      fill_sparse(2 * SPARSE);
      let_time_pass();
      good = good && sparse_holds(2 * SPARSE) && send_byte(to_parent[1]);
      await_byte(to_child[0]);
      end_child(good && sparse_holds(2 * SPARSE));
    }
    close(to_child[0]);
    close(to_parent[1]);
    fill_sparse(SPARSE);
    send_byte(to_child[1]);
    await_byte(to_parent[0]);
    assert_true(sparse_holds(SPARSE));
    fill_sparse(0);
    send_byte(to_child[1]);
    check_child(child);
    assert_true(sparse_holds(0));
    close(to_child[1]);
    close(to_parent[0]);
  }
  for (int i = 0; i < SPARSE; i++) free(sparse[i]);
}

static void *fork_from_a_thread(void *argument) {
  pid_t child = fork();
  if (child == 0) child_uses_the_heap();
  int status = -1;
  waitpid(child, &status, 0);
  return status == 0 && churn(3, 1000) ? argument : NULL;
}

static void threads_fork_at_once(void **state) {
  (void)state;
  make_shared();
  for (int round = 0; round < 10; round++) {
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
      assert_int_equal(pthread_create(&threads[i], NULL, fork_from_a_thread, threads), 0);
    for (int i = 0; i < 4; i++) {
      void *good;
      pthread_join(threads[i], &good);
      assert_non_null(good);
    }
  }
  free_shared();
}

/* vfork, posix_spawn, system and popen share the parent's memory, or replace it at once. */
static void other_ways_to_start_programs(void **state) {
  (void)state;
  extern char **environ;
  make_shared();
  for (int i = 0; i < 10; i++) {
    char *const arguments[] = {"true", NULL};
    pid_t child = vfork();
    if (child == 0) {
      execvp("true", arguments);
      _exit(1);
    }
    check_child(child);
    assert_int_equal(posix_spawnp(&child, "true", NULL, NULL, arguments, environ), 0);
    check_child(child);
    assert_int_equal(system("true"), 0);
    FILE *pipe = popen("echo one line", "r");
    char line[32];
    assert_non_null(pipe);
    assert_non_null(fgets(line, sizeof line, pipe));
    assert_string_equal(line, "one line\n");
    assert_int_equal(pclose(pipe), 0);
  }
  assert_true(shared_holds());
  free_shared();
}

/* ---- CLONE_VFORK without CLONE_VM: the parent waits, but its other threads go on ---- */

static int to_thread[2], from_thread[2];
static atomic_int *child_ended;

static void *allocate_when_told(void *argument) {
  await_byte(to_thread[0]);
  for (int i = 0; i < 100; i++) free(malloc(1000000));
  bool good = churn(7, 3000);
  send_byte(from_thread[1]);
  return good ? argument : NULL;
}

static int wait_for_thread(void *unused) {
  (void)unused;
  begin_child();
  send_byte(to_thread[1]);
  await_byte(from_thread[0]);
  bool good = churn(8, 3000);
  atomic_store(child_ended, 1);
  _exit(good ? 0 : 1);
}

static void threads_go_on_while_clone_holds_one(void **state) {
  (void)state;
  pthread_t thread;
  void *good, *stack = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  child_ended = mmap(NULL, KIB, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  assert_int_equal(pipe(to_thread) | pipe(from_thread), 0);
  assert_int_equal(pthread_create(&thread, NULL, allocate_when_told, to_thread), 0);
  pid_t child = clone(wait_for_thread, (char *)stack + MIB, CLONE_VFORK | SIGCHLD, NULL);
  assert_int_equal(atomic_load(child_ended), 1);
  check_child(child);
  pthread_join(thread, &good);
  assert_non_null(good);
}

/* ---- A handler that interrupts malloc and makes a child ---- */

enum { INTERRUPTIONS = 300 };
static volatile sig_atomic_t interruptions, bad_children;
static pid_t (*make_child)(void);

static void make_child_in_handler(int unused) {
  (void)unused;
  int status = 0, saved = errno;
  pid_t child = make_child();
  if (child == 0) _exit(0);
  if (child < 0 || waitpid(child, &status, 0) != child || status != 0) bad_children++;
  interruptions++;
  errno = saved;
}

/* A thread that waits for its own lock shows as a child that never ends. */
static void interrupt_malloc(pid_t (*make)(void)) {
  pid_t child = fork();
  if (child == 0) {
    const struct itimerval often = {{0, 1000}, {0, 1000}}, never = {{0, 0}, {0, 0}};
    struct sigaction action = {.sa_handler = make_child_in_handler, .sa_flags = SA_RESTART};
    begin_child();
    make_child = make;
    sigaction(SIGPROF, &action, NULL);
    setitimer(ITIMER_PROF, &often, NULL);
    bool good = true;
    while (interruptions < INTERRUPTIONS) {
      void *block[64];
      for (int i = 0; i < 64; i++) block[i] = malloc(40000);
      for (int i = 0; i < 64; i++) good = good && block[i];
      for (int i = 0; i < 64; i++) free(block[i]);
    }
    setitimer(ITIMER_PROF, &never, NULL);
    end_child(good && bad_children == 0 && churn(9, 3000));
  }
  check_child(child);
}

static void handlers_may_interrupt_malloc_and_fork(void **state) {
  (void)state;
  interrupt_malloc(fork);
  interrupt_malloc(_Fork);
}

/* Handlers of the program's that allocate, registered before its first allocation: a constructor runs before any here.
 * They must not where a signal handler forks. */
static _Atomic int handled;
static _Atomic bool allocating;

static void allocate_in_handler(void) {
  void *objects[200];
  if (!allocating) return;
  for (int i = 0; i < 200; i++) objects[i] = malloc((size_t)i * 100);
  for (int i = 0; i < 200; i++) free(objects[i]);
  handled++;
}

__attribute__((constructor)) static void register_early(void) {
  pthread_atfork(allocate_in_handler, allocate_in_handler, allocate_in_handler);
}

static _Atomic bool stop;

static void *idle_thread(void *unused) {
  while (!stop) usleep(1000);
  return unused;
}

static void handlers_may_allocate(void **state) {
  (void)state;
  pthread_t thread;
  stop = false;
  allocating = true;
  assert_int_equal(pthread_create(&thread, NULL, idle_thread, NULL), 0);
  for (int i = 0; i < 20; i++) {
    const int before = handled;
    pid_t child = fork();
    if (child == 0) end_child(handled == before + 2 && churn(i, 200));
    check_child(child);
    assert_int_equal(handled, before + 2);
  }
  stop = true;
  allocating = false;
  pthread_join(thread, NULL);
}

static FILE *lines;

static void *flush_all(void *unused) {
  while (!stop) fflush(NULL);
  return unused;
}

/* getline allocates with the stream locked. */
static void *get_lines(void *unused) {
  while (!stop) {
    char *line = NULL;
    size_t room = 0;
    rewind(lines);
    while (getline(&line, &room, lines) > 0) {
      free(line);
      line = NULL;
      room = 0;
    }
    free(line);
  }
  return unused;
}

static void streams_in_use_do_not_hold_a_fork(void **state) {
  (void)state;
  pthread_t threads[2];
  assert_non_null(lines = tmpfile());
  for (int i = 0; i < 40; i++) fprintf(lines, "%*d\n", 20000 + 10000 * (i % 20), i);
  fflush(lines);
  stop = false;
  assert_int_equal(pthread_create(&threads[0], NULL, flush_all, NULL), 0);
  assert_int_equal(pthread_create(&threads[1], NULL, get_lines, NULL), 0);
  for (int i = 0; i < 300; i++) {
    pid_t child = fork();
    if (child == 0) end_child(fputs("", stderr) >= 0 && churn(i, 20));
    check_child(child);
  }
  stop = true;
  for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
  fclose(lines);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(single_thread_forks),          cmocka_unit_test(child_starts_threads),
      cmocka_unit_test(grandchildren_fork_too),       cmocka_unit_test(many_forks_among_threads),
      cmocka_unit_test(sparse_heaps_part_at_fork),    cmocka_unit_test(threads_fork_at_once),
      cmocka_unit_test(other_ways_to_start_programs), cmocka_unit_test(threads_go_on_while_clone_holds_one),
      cmocka_unit_test(handlers_may_interrupt_malloc_and_fork), cmocka_unit_test(handlers_may_allocate),
      cmocka_unit_test(streams_in_use_do_not_hold_a_fork),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
