"""The names of sudo's settings (sudoers(5), *SUDOERS OPTIONS*), of all releases that are in use.

sudo complains of a name that it does not know, and goes on without it.
"""

from __future__ import annotations

from guestrepair.formats.words import word_set

SETTINGS = word_set(
    """admin_flag always_query_group_plugin always_set_home apparmor_profile askpass authenticate
    authfail_message badpass_message closefrom closefrom_override cmddenial_message command_timeout
    compress_io editor env_check env_delete env_editor env_file env_keep env_reset event_log_group
    event_log_user exec_background exempt_group fast_glob fdexec fqdn group_plugin group_source
    ignore_audit_errors ignore_dot ignore_iolog_errors ignore_local_sudoers ignore_logfile_errors
    ignore_unknown_defaults insults intercept intercept_allow_setid intercept_authenticate
    intercept_type intercept_verify iolog_dir iolog_file iolog_flush iolog_group iolog_mode iolog_user
    json_compact lecture lecture_file lecture_status_dir legacy_group_processing limitprivs linger
    listpw log_allowed log_children log_denied log_exit_status log_format log_group log_host log_input
    log_output log_passwords log_server_cabundle log_server_keepalive log_server_peer_cert
    log_server_peer_key log_server_timeout log_server_verify log_servers log_stderr log_stdin log_stdout
    log_subcmds log_ttyin log_ttyout log_year logfile loglinelen long_otp_prompt mail_all_cmnds
    mail_always mail_badpass mail_no_host mail_no_perms mail_no_user mailerflags mailerpath mailfrom
    mailsub mailto match_group_by_gid maxseq maxsequence netgroup_tuple noexec noexec_file
    noninteractive_auth pam_acct_mgmt pam_askpass_service pam_login_service pam_rhost pam_ruser
    pam_service pam_session pam_setcred pam_silent passprompt passprompt_override passprompt_regex
    passwd_timeout passwd_tries path_info preserve_groups privs pwfeedback requiretty
    restricted_env_file rlimit_as rlimit_core rlimit_cpu rlimit_data rlimit_fsize rlimit_locks
    rlimit_memlock rlimit_nofile rlimit_nproc rlimit_rss rlimit_stack role root_sudo rootpw
    runas_allow_unknown_id runas_check_shell runas_default runaspw runchroot runcwd secure_path selinux
    set_home set_logname set_utmp setenv shell_noargs stay_setuid sudoedit_checkdir sudoedit_follow
    sudoers_locale sudoers_debug syslog syslog_badpri syslog_goodpri syslog_maxlen syslog_pid targetpw
    timestamp_timeout timestamp_type timestampdir timestampowner tty_tickets type umask umask_override
    use_loginclass use_netgroups use_pty user_command_timeouts utmp_runas utmp_user verifypw visiblepw"""
)
