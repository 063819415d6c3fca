/* A service that tells when its main() began, then waits to be killed.
   usage: stamp FIFO */
#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int fifo = open(argc > 1 ? argv[1] : "/dev/stdout", O_WRONLY);
    if (fifo < 0) return 1;
    dprintf(fifo, "%d %lld\n", (int)getpid(), (long long)now.tv_sec * 1000000000LL + now.tv_nsec);
    close(fifo);
    for (;;) pause();
}
