# shellcheck shell=sh
# A new interactive shell says what is wrong with the workspace's persistence,
# and nothing when all is well.
case $- in
*i*)
	if [ -z "${COLTEC_SHELL_TOLD-}" ]; then
		COLTEC_SHELL_TOLD=1
		export COLTEC_SHELL_TOLD
		/usr/local/bin/coltecd status --brief 2>/dev/null || :
	fi
	;;
esac
