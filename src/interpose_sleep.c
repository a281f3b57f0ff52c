/* Wrappers of libc's functions that sleep: if there is meshing or purging to do, it is done first, in
 * pieces of at most a millisecond, for as long as the program has nothing to do.
 *
 * Signals are blocked while we work, and let in before we wait: a signal that came meanwhile ends the wait just as it
 * would without us. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#include "bits.h"
#include "hazard.h"
#include "idle.h"
#include "interpose.h"
#include "interpose_signal.h"
#include "os.h"

#define NO_TIMEOUT UINT64_MAX
#define BIT_OF(signal) ((uint64_t)1 << ((signal) - 1))

/* One way to wait: at most `ns` nanoseconds, with `mask` as the signal mask. Returns what the call does. */
typedef struct Wait {
  int (*wait)(struct Wait *w, uint64_t ns, const sigset_t *mask);
  union {
    struct {
      int fd;
      struct epoll_event *events;
      int count;
    } epoll;
    struct {
      struct pollfd *fds;
      nfds_t count;
    } poll;
    struct {
      int count;
      fd_set *set[3], asked[3];
    } select;
  };
} Wait;

/* A handler is about to run for a signal that waits to be let in: it ends the call, unless the call is to wait
 * with that signal blocked. What is ignored, or has the default action, ends none. */
static bool handler_waits(uint64_t own, const sigset_t *mask) {
  sigset_t pending;
  struct sigaction action;
  if (REAL(sigpending)(&pending) != 0) return false;
  for (int s = 1; s < NSIG; s++) {
    if (sigismember(&pending, s) != 1 || own & BIT_OF(s) || (mask != NULL && sigismember(mask, s) == 1)) continue;
    if (REAL(sigaction)(s, NULL, &action) != 0) continue;
    if (action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN) return true;
  }
  return false;
}

/* How long to wait at a time where `left` ns are left. The kernel may be late by a thousandth of what it is asked for,
 * and goes on with what was left when a stopped program is continued: only short waits end when they should. */
static uint64_t piece_of(uint64_t left) {
  enum { SHORT_NS = 100000000, PIECES = 8 };
  return left == NO_TIMEOUT || left <= 2 * SHORT_NS ? left : max_size(SHORT_NS, left / PIECES);
}

/* Works with all signals blocked; then they come in, with the program's own mask for their handlers to see and to
 * change. False if one came that ends the call. `next_ms` is idle_work's. */
static bool work_undisturbed(const sigset_t *mask, uint32_t *next_ms) {
  uint64_t own;
  os_signals_block(&own);
  *next_ms = idle_work(!in_handler_perhaps(own));
  const bool ends = handler_waits(own, mask);
  os_signals_restore(&own);
  return !ends;
}

/* Looks what the call has to return, works, and waits, until that is something or `ns` have passed. `mask` is the
 * mask to wait with, NULL for the thread's own. Nothing is left behind by who leaves the wait: a handler by
 * longjmp, a thread that is cancelled. */
static int idle_wait(Wait *w, uint64_t ns, const sigset_t *mask) {
  const uint64_t begin = os_now_ns(), first = min_size(ns, idle_pause() * (uint64_t)1000000);
  int n = w->wait(w, first, mask);
  if (n != 0 || first == ns) return n;
  for (;;) {
    uint32_t next_ms = UINT32_MAX;
    uint64_t spent = os_now_ns() - begin;
    if (spent < ns && !work_undisturbed(mask, &next_ms)) {
      idle_awake();
      errno = EINTR;
      return -1;
    }
    /* Only as long as until there may be more to do. */
    spent = os_now_ns() - begin;
    const uint64_t left = ns == NO_TIMEOUT ? NO_TIMEOUT : ns - min_size(ns, spent);
    uint64_t piece = piece_of(left);
    if (next_ms != UINT32_MAX) piece = min_size(piece, next_ms * (uint64_t)1000000);
    n = w->wait(w, piece, mask);
    idle_awake();
    if (n != 0 || piece == left) return n;
  }
}

static struct timespec to_timespec(uint64_t ns) {
  return (struct timespec){.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};
}

static uint64_t from_timespec(const struct timespec *t) {
  if (t == NULL) return NO_TIMEOUT;
  if (t->tv_sec > INT32_MAX) return NO_TIMEOUT;
  return (uint64_t)t->tv_sec * 1000000000u + (uint64_t)t->tv_nsec;
}

static bool valid_timespec(const struct timespec *t) {
  return t == NULL || (t->tv_sec >= 0 && t->tv_nsec >= 0 && t->tv_nsec < 1000000000);
}

/* There is something to do while the program sleeps so long. A pointer to nowhere is for the kernel to refuse. */
static bool due_for(const struct timespec *t) {
  return idle_due() && t != NULL && os_readable(t, sizeof *t) && valid_timespec(t) && from_timespec(t) != NO_TIMEOUT;
}

static uint64_t from_ms(int ms) { return ms < 0 ? NO_TIMEOUT : (uint64_t)ms * 1000000u; }

/* --------------------------------------------------------------------------------------- epoll */

/* Milliseconds, rounded up: never less than was asked for. */
static int to_ms(uint64_t ns) {
  if (ns == NO_TIMEOUT) return -1;
  return (int)min_size((ns + 999999) / 1000000, INT_MAX);
}

static int wait_epoll(Wait *w, uint64_t ns, const sigset_t *mask) {
  return REAL(epoll_pwait)(w->epoll.fd, w->epoll.events, w->epoll.count, to_ms(ns), mask);
}

static int idle_epoll(int fd, struct epoll_event *events, int count, int ms, const sigset_t *mask) {
  Wait w = {.wait = wait_epoll, .epoll = {.fd = fd, .events = events, .count = count}};
  return idle_wait(&w, from_ms(ms), mask);
}

static size_t events_size(int count) { return count > 0 ? (size_t)count * sizeof(struct epoll_event) : 0; }

EXPORT int epoll_pwait(int fd, struct epoll_event *events, int count, int ms, const sigset_t *mask) {
  sigset_t copy;
  mask = open_mask(mask, &copy);
  Published p = hazard_publish(events, events_size(count));
  int n = ms == 0 || !idle_due() ? REAL(epoll_pwait)(fd, events, count, ms, mask)
                                 : idle_epoll(fd, events, count, ms, mask);
  hazard_clear(p);
  return n;
}

EXPORT int epoll_wait(int fd, struct epoll_event *events, int count, int ms) {
  Published p = hazard_publish(events, events_size(count));
  int n = ms == 0 || !idle_due() ? REAL(epoll_wait)(fd, events, count, ms)
                                 : idle_epoll(fd, events, count, ms, NULL);
  hazard_clear(p);
  return n;
}

int epoll_pwait2(int fd, struct epoll_event *events, int count, const struct timespec *t, const sigset_t *mask);

/* Waits by nanoseconds where the caller does: libc and kernel may lack it, but then it was not called. */
static int wait_epoll2(Wait *w, uint64_t ns, const sigset_t *mask) {
  struct timespec t = to_timespec(ns);
  return REAL(epoll_pwait2)(w->epoll.fd, w->epoll.events, w->epoll.count, ns == NO_TIMEOUT ? NULL : &t, mask);
}

static int idle_epoll2(int fd, struct epoll_event *events, int count, uint64_t ns, const sigset_t *mask) {
  Wait w = {.wait = wait_epoll2, .epoll = {.fd = fd, .events = events, .count = count}};
  return idle_wait(&w, ns, mask);
}

EXPORT int epoll_pwait2(int fd, struct epoll_event *events, int count, const struct timespec *t, const sigset_t *mask) {
  sigset_t copy;
  mask = open_mask(mask, &copy);
  Published p = hazard_publish(events, events_size(count));
  bool direct = !idle_due() || (t != NULL && !os_readable(t, sizeof *t)) || !valid_timespec(t) || from_timespec(t) == 0;
  int n = direct ? REAL(epoll_pwait2)(fd, events, count, t, mask)
                 : idle_epoll2(fd, events, count, from_timespec(t), mask);
  hazard_clear(p);
  return n;
}

/* ---------------------------------------------------------------------------------------- poll */

static int wait_poll(Wait *w, uint64_t ns, const sigset_t *mask) {
  struct timespec t = to_timespec(ns);
  return REAL(ppoll)(w->poll.fds, w->poll.count, ns == NO_TIMEOUT ? NULL : &t, mask);
}

static int idle_poll(struct pollfd *fds, nfds_t count, uint64_t ns, const sigset_t *mask) {
  Wait w = {.wait = wait_poll, .poll = {.fds = fds, .count = count}};
  return idle_wait(&w, ns, mask);
}

EXPORT int poll(struct pollfd *fds, nfds_t count, int ms) {
  Published p = hazard_publish(fds, count * sizeof *fds);
  int n = ms == 0 || !idle_due() ? REAL(poll)(fds, count, ms) : idle_poll(fds, count, from_ms(ms), NULL);
  hazard_clear(p);
  return n;
}

EXPORT int ppoll(struct pollfd *fds, nfds_t count, const struct timespec *t, const sigset_t *mask) {
  sigset_t copy;
  mask = open_mask(mask, &copy);
  Published p = hazard_publish(fds, count * sizeof *fds);
  int n = !valid_timespec(t) || from_timespec(t) == 0 || !idle_due()
              ? REAL(ppoll)(fds, count, t, mask)
              : idle_poll(fds, count, from_timespec(t), mask);
  hazard_clear(p);
  return n;
}

/* What _FORTIFY_SOURCE makes of them: the check is libc's. */
EXPORT int __poll_chk(struct pollfd *fds, nfds_t count, int ms, size_t room);
EXPORT int __poll_chk(struct pollfd *fds, nfds_t count, int ms, size_t room) {
  return room / sizeof *fds < count ? REAL(__poll_chk)(fds, count, ms, room) : poll(fds, count, ms);
}

EXPORT int __ppoll_chk(struct pollfd *fds, nfds_t count, const struct timespec *t, const sigset_t *mask, size_t room);
EXPORT int __ppoll_chk(struct pollfd *fds, nfds_t count, const struct timespec *t, const sigset_t *mask, size_t room) {
  return room / sizeof *fds < count ? REAL(__ppoll_chk)(fds, count, t, mask, room) : ppoll(fds, count, t, mask);
}

/* -------------------------------------------------------------------------------------- select */

/* What the kernel reads and writes of a set, words for `count` bits: callers may have no more memory than that. */
static size_t set_bytes(int count) { return count > 0 ? ((size_t)count + 63) / 64 * sizeof(uint64_t) : 0; }

/* Select overwrites what it was asked, unless it fails. */
static void ask_again(Wait *w) {
  for (int i = 0; i < 3; i++)
    if (w->select.set[i] != NULL) memcpy(w->select.set[i], &w->select.asked[i], set_bytes(w->select.count));
}

static int wait_select(Wait *w, uint64_t ns, const sigset_t *mask) {
  ask_again(w);
  struct timespec t = to_timespec(ns);
  return REAL(pselect)(w->select.count, w->select.set[0], w->select.set[1], w->select.set[2],
                       ns == NO_TIMEOUT ? NULL : &t, mask);
}

static int idle_select(int count, fd_set *r, fd_set *w_, fd_set *e, uint64_t ns, const sigset_t *mask) {
  Wait w = {.wait = wait_select, .select = {.count = count, .set = {r, w_, e}}};
  for (int i = 0; i < 3; i++)
    if (w.select.set[i] != NULL) memcpy(&w.select.asked[i], w.select.set[i], set_bytes(count));
  const int n = idle_wait(&w, ns, mask);
  if (n < 0) ask_again(&w);
  return n;
}

/* The sets of a select, and its time. */
static Published publish_sets(int count, fd_set *r, fd_set *w, fd_set *e, struct timeval *t) {
  const size_t bytes = set_bytes(count);
  Published p = hazard_publish(r, bytes);
  hazard_add(&p, w, bytes);
  hazard_add(&p, e, bytes);
  hazard_add(&p, t, sizeof *t);
  return p;
}

/* Copies are made of the sets. */
static bool sets_readable(int count, const fd_set *r, const fd_set *w, const fd_set *e) {
  const fd_set *const set[] = {r, w, e};
  for (int i = 0; i < 3 && count > 0; i++)
    if (set[i] != NULL && !os_readable(set[i], set_bytes(count))) return false;
  return true;
}

static int select_unpublished(int count, fd_set *r, fd_set *w, fd_set *e, struct timeval *t) {
  bool valid = t == NULL || (t->tv_sec >= 0 && t->tv_usec >= 0 && t->tv_usec < 1000000);
  if (!valid || count > FD_SETSIZE || !idle_due() || !sets_readable(count, r, w, e))
    return REAL(select)(count, r, w, e, t);
  uint64_t ns = NO_TIMEOUT, begin = os_now_ns();
  if (t != NULL && t->tv_sec < INT32_MAX) ns = (uint64_t)t->tv_sec * 1000000000u + (uint64_t)t->tv_usec * 1000u;
  if (ns == 0) return REAL(select)(count, r, w, e, t);
  int n = idle_select(count, r, w, e, ns, NULL);
  if (t != NULL && ns != NO_TIMEOUT) { /* as Linux has it: what is left */
    uint64_t left = ns - min_size(ns, os_now_ns() - begin);
    *t = (struct timeval){.tv_sec = (time_t)(left / 1000000000u), .tv_usec = (suseconds_t)(left / 1000 % 1000000)};
  }
  return n;
}

EXPORT int select(int count, fd_set *r, fd_set *w, fd_set *e, struct timeval *t) {
  Published p = publish_sets(count, r, w, e, t);
  int n = select_unpublished(count, r, w, e, t);
  hazard_clear(p);
  return n;
}

EXPORT int pselect(int count, fd_set *r, fd_set *w, fd_set *e, const struct timespec *t, const sigset_t *mask) {
  sigset_t copy;
  mask = open_mask(mask, &copy);
  Published p = publish_sets(count, r, w, e, NULL);
  bool direct = !valid_timespec(t) || from_timespec(t) == 0 || count > FD_SETSIZE || !idle_due() ||
                !sets_readable(count, r, w, e);
  int n = direct ? REAL(pselect)(count, r, w, e, t, mask)
                 : idle_select(count, r, w, e, from_timespec(t), mask);
  hazard_clear(p);
  return n;
}

/* --------------------------------------------------------------------------------------- sleep */

/* Sleeps like clock_nanosleep on the monotonic clock; returns 0 or the error. */
static int idle_sleep(uint64_t ns, struct timespec *left) {
  uint64_t begin = os_now_ns();
  Wait w = {.wait = wait_poll, .poll = {.fds = NULL, .count = 0}};
  int saved = errno;
  if (idle_wait(&w, ns, NULL) == 0) return 0;
  int error = errno;
  errno = saved;
  if (left != NULL) *left = to_timespec(ns - min_size(ns, os_now_ns() - begin));
  return error;
}

static int nanosleep_published(const struct timespec *t, struct timespec *left) {
  Published p = hazard_publish(left, sizeof *left);
  int n = REAL(nanosleep)(t, left);
  hazard_clear(p);
  return n;
}

static int clock_nanosleep_published(clockid_t clock, int flags, const struct timespec *t,
                                     struct timespec *left) {
  Published p = hazard_publish(left, sizeof *left);
  int n = REAL(clock_nanosleep)(clock, flags, t, left);
  hazard_clear(p);
  return n;
}

EXPORT int nanosleep(const struct timespec *t, struct timespec *left) {
  if (!due_for(t)) return nanosleep_published(t, left);
  int error = idle_sleep(from_timespec(t), left);
  if (error == 0) return 0;
  errno = error;
  return -1;
}

/* The wall clock may be set while somebody waits for a time of its. */
static bool is_interval(clockid_t clock, int flags) {
  return flags == 0 ? clock == CLOCK_MONOTONIC || clock == CLOCK_REALTIME
                    : flags == TIMER_ABSTIME && clock == CLOCK_MONOTONIC;
}

EXPORT int clock_nanosleep(clockid_t clock, int flags, const struct timespec *t, struct timespec *left) {
  if (!is_interval(clock, flags) || !due_for(t)) return clock_nanosleep_published(clock, flags, t, left);
  if (flags == 0) return idle_sleep(from_timespec(t), left);
  const uint64_t until = from_timespec(t), now = os_now_ns();
  return until > now ? idle_sleep(until - now, NULL) : clock_nanosleep_published(clock, flags, t, left);
}

/* libc's own calls do not come by here. */
EXPORT int thrd_sleep(const struct timespec *t, struct timespec *left) {
  int error = clock_nanosleep(CLOCK_REALTIME, 0, t, left);
  return error == 0 ? 0 : error == EINTR ? -1 : -2;
}

EXPORT int usleep(useconds_t us) {
  struct timespec t = to_timespec((uint64_t)us * 1000u);
  return nanosleep(&t, NULL);
}

EXPORT unsigned sleep(unsigned seconds) {
  struct timespec t = {.tv_sec = (time_t)seconds, .tv_nsec = 0}, left = {0, 0};
  if (nanosleep(&t, &left) == 0) return 0;
  return (unsigned)left.tv_sec; /* whole ones, as libc's: who calls again with the rest comes to an end */
}

ALSO(__poll, poll);
ALSO(__select, select);
ALSO(__nanosleep, nanosleep);
