/* CLOCK_REALTIME of one process, shifted by what a file says [ns, int64]: see stepped_clock.py.
 *
 * What reads the system clock sees the shifted one; a wait until a moment of it is shifted back, as
 * the kernel keeps it when a clock is set.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL

static volatile int64_t *offset;

__attribute__((constructor)) static void open_offset(void)
{
    const char *path = getenv("STEPPED_CLOCK");
    int file = path ? open(path, O_RDONLY) : -1;
    if (file < 0)
        return;
    void *page = mmap(NULL, sizeof *offset, PROT_READ, MAP_SHARED, file, 0);
    if (page != MAP_FAILED)
        offset = page;
    close(file);
}

static struct timespec shifted(struct timespec time, int sign)
{
    int64_t total = time.tv_sec * SECOND + time.tv_nsec + sign * (offset ? *offset : 0);
    if (total < 0)
        total = 0;
    return (struct timespec){total / SECOND, total % SECOND};
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int clock_gettime(clockid_t clock, struct timespec *time)
{
    static __typeof__(&clock_gettime) next;
    if (!next)
        next = NEXT(clock_gettime);
    int result = next(clock, time);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        *time = shifted(*time, 1);
    return result;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone)
{
    (void)zone;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    *time = (struct timeval){now.tv_sec, now.tv_nsec / 1000};
    return 0;
}

time_t time(time_t *result)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (result)
        *result = now.tv_sec;
    return now.tv_sec;
}

int pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict until)
{
    /* Python's condition variables count in CLOCK_MONOTONIC: a moment is of the clock it is nearer. */
    struct timespec steady, system;
    clock_gettime(CLOCK_MONOTONIC, &steady);
    clock_gettime(CLOCK_REALTIME, &system);
    int of_steady = llabs((long long)until->tv_sec - steady.tv_sec)
                    < llabs((long long)until->tv_sec - system.tv_sec);
    struct timespec moment = of_steady ? *until : shifted(*until, -1);
    return NEXT(pthread_cond_timedwait)(condition, mutex, &moment);
}

int pthread_cond_clockwait(pthread_cond_t *condition, pthread_mutex_t *mutex, clockid_t clock,
                           const struct timespec *until)
{
    struct timespec moment = clock == CLOCK_REALTIME ? shifted(*until, -1) : *until;
    return NEXT(pthread_cond_clockwait)(condition, mutex, clock, &moment);
}

int pthread_mutex_timedlock(pthread_mutex_t *restrict mutex, const struct timespec *restrict until)
{
    struct timespec moment = shifted(*until, -1);
    return NEXT(pthread_mutex_timedlock)(mutex, &moment);
}

int sem_timedwait(sem_t *restrict semaphore, const struct timespec *restrict until)
{
    struct timespec moment = shifted(*until, -1);
    return NEXT(sem_timedwait)(semaphore, &moment);
}

int sem_clockwait(sem_t *restrict semaphore, clockid_t clock, const struct timespec *restrict until)
{
    struct timespec moment = clock == CLOCK_REALTIME ? shifted(*until, -1) : *until;
    return NEXT(sem_clockwait)(semaphore, clock, &moment);
}
