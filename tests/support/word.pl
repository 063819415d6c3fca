# Says once that it is ready, at some moment, in the way that is asked for.
use strict;
use warnings;
use Socket;

$| = 1;
srand($$);
select(undef, undef, undef, rand(1.5));
my $way = shift;
if ($way eq "notify") {
    my $name = $ENV{NOTIFY_SOCKET};
    $name =~ s/^@/\0/;
    socket(my $socket, AF_UNIX, SOCK_DGRAM, 0) or die $!;
    defined send($socket, "READY=1", 0, pack_sockaddr_un($name)) or print "refused: $!\n";
} else {
    print "it is ready\n";
}
sleep 1000;
