// Many short threads: each allocates, frees half of it, and leaves the other half to the main thread.
// threads TOTAL AT_A_TIME BLOCKS
#include "workload.h"

typedef struct {
  pthread_t thread;
  size_t seed;
  void **left;  // BLOCKS / 2 of them
  uint64_t sum;
} Task;

static size_t blocks;

static size_t size_of(size_t seed, size_t i) { return 16 + (seed * 31 + i * 17) % 1000; }

static void *live(void *arg) {
  Task *task = arg;
  void **mine = must(malloc(blocks * sizeof *mine));
  task->left = must(malloc(blocks / 2 * sizeof *task->left));
  for (size_t i = 0; i < blocks; i++) {
    mine[i] = must(malloc(size_of(task->seed, i)));
    block_mark(mine[i], size_of(task->seed, i), i);
  }
  for (size_t i = 0; i < blocks / 2; i++) {
    task->left[i] = mine[2 * i + 1];
    block_check(mine[2 * i], size_of(task->seed, 2 * i), 2 * i);
    task->sum += size_of(task->seed, 2 * i);
    free(mine[2 * i]);
  }
  free(mine);
  return NULL;
}

static uint64_t bury(Task *task) {
  pthread_join(task->thread, NULL);
  for (size_t i = 0; i < blocks / 2; i++) {
    block_check(task->left[i], size_of(task->seed, 2 * i + 1), 2 * i + 1);
    free(task->left[i]);
  }
  free(task->left);
  return task->sum;
}

int main(int argc, char **argv) {
  static Task tasks[MAX_THREADS];
  size_t total = arg_number(argc, argv, 1, 20000);
  size_t at_a_time = arg_number(argc, argv, 2, 4);
  blocks = arg_number(argc, argv, 3, 200) & ~(size_t)1;
  if (at_a_time == 0 || at_a_time > MAX_THREADS || blocks == 0) die("bad arguments");

  uint64_t sum = 0;
  for (size_t i = 0; i < total; i++) {
    Task *task = &tasks[i % at_a_time];
    if (i >= at_a_time) sum += bury(task);
    *task = (Task){.seed = i};
    if (pthread_create(&task->thread, NULL, live, task)) die("no thread");
  }
  for (size_t i = 0; i < at_a_time && i < total; i++) sum += bury(&tasks[i]);
  return report(sum);
}
