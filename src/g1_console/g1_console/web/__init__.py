"""The console in the browser, one room a file; `nodes/console_node.py` connects them.

`running_system` reads from ROS, `requests` asks services; `event_log` and `budgets` make sense of
what was read; `robot_scene`, `cameras`, `joint_plots` and `panels` show it, `buttons` is what can
be pressed; `access` says who may connect, `server` serves the page.
"""
