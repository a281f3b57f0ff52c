// A server whose connections outlive its threads, after Larson and Krishnan, "Memory allocation for
// long-running server applications" (ISMM 1998): a thread replaces random blocks of its table, then starts
// its successor, hands it the table and ends. So most blocks are freed by a thread other than the one that
// allocated them. server LINES BLOCKS STEPS GENERATIONS   (LINES of succession at a time; STEPS in each
// thread's life)
#include "workload.h"

typedef struct {
  void **blocks;
  uint32_t *sizes;
  size_t generation;
  Rng rng;
  uint64_t sum;
} Line;

static size_t blocks, steps, generations;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t line_ended = PTHREAD_COND_INITIALIZER;
static size_t lines_left;

static void replace(Line *line, size_t i) {
  block_check(line->blocks[i], line->sizes[i], line->sizes[i] + i);
  line->sum += line->sizes[i];
  free(line->blocks[i]);
  line->sizes[i] = (uint32_t)rng_range(&line->rng, 10, 500);
  line->blocks[i] = must(malloc(line->sizes[i]));
  block_mark(line->blocks[i], line->sizes[i], line->sizes[i] + i);
}

static void *serve(void *arg);

static void start_thread(Line *line) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, serve, line)) die("no thread");
  pthread_detach(thread);
}

static void *serve(void *arg) {
  Line *line = arg;
  for (size_t step = 0; step < steps; step++) replace(line, rng_below(&line->rng, blocks));
  if (++line->generation < generations) {
    start_thread(line);
    return NULL;
  }
  pthread_mutex_lock(&lock);
  lines_left--;
  pthread_cond_signal(&line_ended);
  pthread_mutex_unlock(&lock);
  return NULL;
}

static void line_open(Line *line, size_t seed) {
  *line = (Line){.rng = {seed + 1}};
  line->blocks = must(malloc(blocks * sizeof *line->blocks));
  line->sizes = must(malloc(blocks * sizeof *line->sizes));
  for (size_t i = 0; i < blocks; i++) {
    line->sizes[i] = (uint32_t)rng_range(&line->rng, 10, 500);
    line->blocks[i] = must(malloc(line->sizes[i]));
    block_mark(line->blocks[i], line->sizes[i], line->sizes[i] + i);
  }
}

static uint64_t line_close(Line *line) {
  for (size_t i = 0; i < blocks; i++) free(line->blocks[i]);
  free(line->blocks);
  free(line->sizes);
  return line->sum;
}

int main(int argc, char **argv) {
  static Line lines[MAX_THREADS];
  size_t count = arg_number(argc, argv, 1, 4);
  blocks = arg_number(argc, argv, 2, 1000);
  steps = arg_number(argc, argv, 3, 10000);
  generations = arg_number(argc, argv, 4, 100);
  if (count == 0 || count > MAX_THREADS) die("bad number of lines");

  uint64_t sum = 0;
  lines_left = count;
  for (size_t i = 0; i < count; i++) line_open(&lines[i], i);
  for (size_t i = 0; i < count; i++) start_thread(&lines[i]);
  pthread_mutex_lock(&lock);
  while (lines_left) pthread_cond_wait(&line_ended, &lock);
  pthread_mutex_unlock(&lock);
  for (size_t i = 0; i < count; i++) sum += line_close(&lines[i]);
  return report(sum);
}
