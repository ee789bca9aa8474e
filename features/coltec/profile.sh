# shellcheck shell=sh
# A new interactive shell on a terminal says what is wrong with the workspace's
# persistence, or that what is in the home is still being restored, and nothing when all is well. The variable is not exported: the
# next shell tells it again.
case $- in
*i*)
	if [ -t 1 ] && [ -z "${COLTEC_SHELL_TOLD-}" ]; then
		COLTEC_SHELL_TOLD=1
		/usr/local/bin/coltecd status --brief 2>/dev/null || :
	fi
	;;
esac
