// Runs a command and says what it took.
//
//   measure [-p LIBRARY] [-m] [-s FILE] [-i MS] [-o FILE] [-t SECONDS] COMMAND [ARG...]
//
//   -p  preload LIBRARY into the command and whatever it starts
//   -m  sample the Pss of the command and all its descendants and report the highest sum seen; sampling slows
//   the
//       command down, so take times and memory in different runs
//   -s  as -m, and write each sample to FILE: seconds since boot (the clock of /proc/uptime), KiB
//   -i  milliseconds from one sample to the next (5); longer when a sample takes long, so that sampling takes
//   at
//       most a tenth of one core
//   -o  keep the command's standard output in FILE
//   -t  kill the command after SECONDS (600)
//
// Prints STATUS WALL USER SYSTEM FAULTS PEAK HASH: "ok", "exit:N", "signal:N" or "timeout"; seconds; seconds;
// seconds; minor page faults; KiB (0 without -m); a hash of all that the command wrote to standard output.
// User, system and faults include all its descendants.
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include "pss.h"

enum { COST_SHARE = 10 };

typedef struct {
  const char *preload;
  bool memory;
  FILE *samples;
  int output;  // descriptor, or -1
  double interval;
  double limit;
  char **command;
} Options;

typedef struct {
  pid_t child;
  int out;  // the command's standard output
  uint64_t hash;
  long peak_kb;
  bool timed_out;
} Run;

static _Noreturn void fail(const char *what) {
  fprintf(stderr, "measure: %s: %s\n", what, strerror(errno));
  exit(125);
}

static double seconds(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static long tree_pss_kb(const char *pid);

// The sum over the children of one thread; they are listed in one line of numbers.
static long children_pss_kb(const char *pid, const char *thread) {
  char path[64], list[8192];
  long sum = 0;
  snprintf(path, sizeof path, "/proc/%.10s/task/%.10s/children", pid, thread);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  ssize_t length = read(fd, list, sizeof list - 1);
  close(fd);
  if (length <= 0) return 0;
  list[length] = 0;
  char *rest = NULL;
  for (char *child = strtok_r(list, " ", &rest); child; child = strtok_r(NULL, " ", &rest)) {
    snprintf(path, sizeof path, "/proc/%.10s/smaps_rollup", child);
    sum += pss_kb(path) + tree_pss_kb(child);
  }
  return sum;
}

// All descendants of a process, without itself.
static long tree_pss_kb(const char *pid) {
  char path[32];
  long sum = 0;
  snprintf(path, sizeof path, "/proc/%.10s/task", pid);
  DIR *threads = opendir(path);
  if (!threads) return 0;
  for (struct dirent *thread; (thread = readdir(threads));) {
    if (thread->d_name[0] != '.') sum += children_pss_kb(pid, thread->d_name);
  }
  closedir(threads);
  return sum;
}

static double sample(Run *run, const Options *options) {
  double start = seconds(CLOCK_MONOTONIC);
  long kb = tree_pss_kb("self");
  if (kb > run->peak_kb) run->peak_kb = kb;
  if (options->samples && kb > 0) {
    fprintf(options->samples, "%.3f %ld\n", seconds(CLOCK_BOOTTIME), kb);
    fflush(options->samples);
  }
  return seconds(CLOCK_MONOTONIC) - start;
}

// Reads what there is; 64-bit FNV-1a.
static void take_output(Run *run, const Options *options) {
  unsigned char bytes[16384];
  ssize_t got;
  while ((got = read(run->out, bytes, sizeof bytes)) > 0) {
    for (ssize_t i = 0; i < got; i++) run->hash = (run->hash ^ bytes[i]) * 0x100000001b3u;
    if (options->output >= 0 && write(options->output, bytes, (size_t)got) != got) fail("output");
  }
  if (got == 0) {
    close(run->out);
    run->out = -1;
  }
}

static void on_child(int signal) { (void)signal; }

static void start(Run *run, const Options *options) {
  int ends[2];
  sigset_t child_signal;
  sigemptyset(&child_signal);
  sigaddset(&child_signal, SIGCHLD);
  sigprocmask(SIG_BLOCK, &child_signal, NULL);
  sigaction(SIGCHLD, &(struct sigaction){.sa_handler = on_child}, NULL);
  // So that nothing the command starts can leave the tree that is sampled and reaped here.
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  if (pipe2(ends, O_CLOEXEC)) fail("pipe");

  run->child = fork();
  if (run->child < 0) fail("fork");
  if (run->child == 0) {
    setpgid(0, 0);
    sigprocmask(SIG_UNBLOCK, &child_signal, NULL);
    dup2(ends[1], STDOUT_FILENO);
    if (options->preload)
      setenv("LD_PRELOAD", options->preload, 1);
    else
      unsetenv("LD_PRELOAD");
    execvp(options->command[0], options->command);
    fail(options->command[0]);
  }
  setpgid(run->child, run->child);
  close(ends[1]);
  run->out = ends[0];
  fcntl(run->out, F_SETFL, O_NONBLOCK);
}

// Reaps whatever has ended; says whether the command itself has.
static bool reap(Run *run, int *status) {
  bool ended = false;
  int other;
  for (pid_t pid; (pid = waitpid(-1, &other, WNOHANG)) > 0;) {
    if (pid != run->child) continue;
    *status = other;
    ended = true;
  }
  return ended;
}

// The command's exit status.
static int attend(Run *run, const Options *options) {
  double limit = seconds(CLOCK_MONOTONIC) + options->limit, next_sample = 0;
  sigset_t none;
  int status = 0;
  sigemptyset(&none);
  while (!reap(run, &status)) {
    double now = seconds(CLOCK_MONOTONIC);
    if (now >= limit) {
      run->timed_out = true;
      kill(-run->child, SIGKILL);
      limit = now + 1;
    }
    if (options->memory && now >= next_sample) {
      double cost = sample(run, options);
      now += cost;
      next_sample = now + (cost * COST_SHARE > options->interval ? cost * COST_SHARE : options->interval);
    }
    double wait = limit - now;
    if (options->memory && next_sample - now < wait) wait = next_sample - now;
    if (wait < 0) wait = 0;
    struct timespec timeout = {.tv_sec = (time_t)wait,
                               .tv_nsec = (long)((wait - (double)(time_t)wait) * 1e9)};
    struct pollfd output = {.fd = run->out, .events = POLLIN};
    if (ppoll(&output, 1, &timeout, &none) > 0) take_output(run, options);
  }
  return status;
}

static Options parse(int argc, char **argv) {
  Options options = {.output = -1, .interval = 0.005, .limit = 600};
  int letter;
  while ((letter = getopt(argc, argv, "+p:ms:i:o:t:")) != -1) {
    switch (letter) {
      case 'p':
        // The loader would only warn, and the run would pass for one with the library.
        if (access(optarg, R_OK)) fail(optarg);
        options.preload = optarg;
        break;
      case 's':
        options.samples = fopen(optarg, "we");
        if (!options.samples) fail(optarg);
        options.memory = true;
        break;
      case 'm':
        options.memory = true;
        break;
      case 'i':
        options.interval = strtod(optarg, NULL) / 1000;
        break;
      case 't':
        options.limit = strtod(optarg, NULL);
        break;
      case 'o':
        options.output = open(optarg, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
        if (options.output < 0) fail(optarg);
        break;
      default:
        exit(125);
    }
  }
  options.command = argv + optind;
  if (optind == argc) {
    fprintf(stderr,
            "usage: measure [-p LIBRARY] [-m] [-s FILE] [-i MS] [-o FILE] [-t SECONDS] COMMAND [ARG...]\n");
    exit(125);
  }
  return options;
}

int main(int argc, char **argv) {
  Options options = parse(argc, argv);
  Run run = {.hash = 0xcbf29ce484222325u};

  double started = seconds(CLOCK_MONOTONIC);
  start(&run, &options);
  int status = attend(&run, &options);
  double wall = seconds(CLOCK_MONOTONIC) - started;

  // What the command left behind must not go on beside the next run.
  kill(-run.child, SIGKILL);
  if (run.out >= 0) take_output(&run, &options);
  while (waitpid(-run.child, NULL, 0) > 0) continue;

  struct rusage usage;
  getrusage(RUSAGE_CHILDREN, &usage);
  if (run.timed_out)
    printf("timeout");
  else if (WIFSIGNALED(status))
    printf("signal:%d", WTERMSIG(status));
  else if (WEXITSTATUS(status))
    printf("exit:%d", WEXITSTATUS(status));
  else
    printf("ok");
  printf(" %.4f %.4f %.4f %ld %ld %016llx\n", wall,
         (double)usage.ru_utime.tv_sec + (double)usage.ru_utime.tv_usec / 1e6,
         (double)usage.ru_stime.tv_sec + (double)usage.ru_stime.tv_usec / 1e6, usage.ru_minflt, run.peak_kb,
         (unsigned long long)run.hash);
  return 0;
}
