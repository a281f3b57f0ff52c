/* Published buffers, when calls are left by siglongjmp and interrupted by handlers. */
#include "hazard.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

#include "heap_api.h"
#include "unit.h"

enum { SIZE = 100, STACK = 4 << 20 /* sanitizers want much */ };

static char *outer, *inner;
static sigjmp_buf back;

static bool is_published(const char *buffer) { return hazard_overlaps(buffer, SIZE); }

/* Stand for wrappers: NOINLINE, so that each has a frame of its own. */
static NOINLINE void leave_by_jump(const char *buffer) {
  Published p = hazard_publish(buffer, SIZE);
  if (is_published(buffer)) siglongjmp(back, 1);
  hazard_clear(p);
}

static NOINLINE void call(const char *buffer, void (*meanwhile)(void)) {
  Published p = hazard_publish(buffer, SIZE);
  meanwhile();
  hazard_clear(p);
}

static void only_inner_is_published(void) {
  assert_true(is_published(inner));
  assert_false(is_published(outer));
}

TEST(what_a_jump_left_behind_is_given_up_by_the_next_call) {
  if (sigsetjmp(back, 1) == 0) leave_by_jump(outer);
  assert_true(is_published(outer));
  call(inner, only_inner_is_published);
  assert_false(is_published(inner));
  assert_false(is_published(outer));
}

static NOINLINE void jump_from_deep(int depth) {
  volatile char frame[200];
  frame[0] = (char)depth;
  if (depth > 0)
    jump_from_deep(depth - 1);
  else
    leave_by_jump(outer);
  (void)frame[0];
}

TEST(a_jump_over_many_frames_too) {
  if (sigsetjmp(back, 1) == 0) jump_from_deep(10);
  assert_true(is_published(outer));
  call(inner, only_inner_is_published);
  assert_false(is_published(outer));
}

static void both_are_published(void) {
  assert_true(is_published(inner));
  assert_true(is_published(outer));
}

static void call_inner(int unused) {
  (void)unused;
  call(inner, both_are_published);
}

static void interrupt(void) {
  raise(SIGUSR1);
  assert_true(is_published(outer)); /* its call goes on */
  assert_false(is_published(inner));
}

static void handle(int flags) {
  struct sigaction action = {.sa_handler = call_inner, .sa_flags = flags};
  assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
}

TEST(a_handlers_call_leaves_that_which_it_interrupted) {
  handle(0);
  call(outer, interrupt);
  assert_false(is_published(outer));
}

typedef struct Stacks {
  char *own, *handlers;
} Stacks;

static void leave_handler(int unused) {
  (void)unused;
  leave_by_jump(outer);
}

static void *call_on_stacks(void *stacks) {
  const Stacks *s = stacks;
  const stack_t stack = {.ss_sp = s->handlers, .ss_size = STACK};
  stack_t before;
  assert_int_equal(sigaltstack(&stack, &before), 0);
  call(outer, interrupt);
  assert_false(is_published(outer));
  if (sigsetjmp(back, 1) == 0) {
    struct sigaction leave = {.sa_handler = leave_handler, .sa_flags = SA_ONSTACK};
    assert_int_equal(sigaction(SIGUSR2, &leave, NULL), 0);
    raise(SIGUSR2);
  }
  assert_true(is_published(outer));
  call(inner, only_inner_is_published);
  assert_false(is_published(outer));
  assert_int_equal(sigaltstack(&before, NULL), 0);
  return NULL;
}

static void run_on(char *own, char *handlers) {
  Stacks s = {own, handlers};
  pthread_attr_t attributes;
  pthread_t thread;
  pthread_attr_init(&attributes);
  assert_int_equal(pthread_attr_setstack(&attributes, own, STACK), 0);
  assert_int_equal(pthread_create(&thread, &attributes, call_on_stacks, &s), 0);
  pthread_join(thread, NULL);
  pthread_attr_destroy(&attributes);
}

/* Which of two stacks is higher says nothing about which call is the inner one. */
TEST(a_handler_on_a_stack_of_its_own_may_be_above_or_below) {
  char *both = mmap(NULL, 2 * STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  assert_true(both != MAP_FAILED);
  handle(SA_ONSTACK);
  run_on(both, both + STACK);
  run_on(both + STACK, both);
  munmap(both, 2 * STACK);
}

TEST(one_call_publishes_several_buffers) {
  Published p = hazard_publish(NULL, SIZE);
  hazard_add(&p, outer, SIZE);
  hazard_add(&p, inner, SIZE);
  both_are_published();
  hazard_clear(p);
  assert_false(is_published(outer));
  assert_false(is_published(inner));
}

static int make_buffers(void **unused) {
  (void)unused;
  outer = mesh_malloc(SIZE);
  inner = mesh_malloc(SIZE);
  return outer != NULL && inner != NULL ? 0 : -1;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(what_a_jump_left_behind_is_given_up_by_the_next_call),
      cmocka_unit_test(a_jump_over_many_frames_too),
      cmocka_unit_test(a_handlers_call_leaves_that_which_it_interrupted),
      cmocka_unit_test(a_handler_on_a_stack_of_its_own_may_be_above_or_below),
      cmocka_unit_test(one_call_publishes_several_buffers),
  };
  return cmocka_run_group_tests(tests, make_buffers, NULL);
}
