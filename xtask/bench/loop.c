/* The least a supervisor can be: posix_spawn and waitid, nothing else.
   usage: loop respawn PROGRAM ARG...     one child, started again whenever it ends
          loop fleet N PROGRAM ARG...     N children; on end of stdin kill and reap all */
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static pid_t start(char **argv) {
    pid_t pid;
    int error = posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ);
    if (error != 0) {
        fprintf(stderr, "posix_spawnp: %s\n", strerror(error));
        exit(1);
    }
    return pid;
}

int main(int argc, char **argv) {
    siginfo_t info;
    if (argc >= 3 && strcmp(argv[1], "respawn") == 0) {
        for (;;) {
            pid_t pid = start(argv + 2);
            waitid(P_PID, pid, &info, WEXITED);
        }
    }
    if (argc >= 4 && strcmp(argv[1], "fleet") == 0) {
        int count = atoi(argv[2]);
        pid_t *pids = calloc(count, sizeof *pids);
        for (int i = 0; i < count; i++) pids[i] = start(argv + 3);
        char byte;
        while (read(0, &byte, 1) > 0) {}
        for (int i = 0; i < count; i++) kill(pids[i], SIGTERM);
        for (int i = 0; i < count; i++) waitid(P_PID, pids[i], &info, WEXITED);
        return 0;
    }
    fprintf(stderr, "usage: loop respawn|fleet ...\n");
    return 2;
}
