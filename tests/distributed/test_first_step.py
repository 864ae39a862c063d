"""The doctor's first step, in one process and in two."""

from offline_rl.checks import processes


def test_the_first_step_is_checked_in_one_and_two_processes(patient):
    found = processes.first_step(patient, processes.DPO)
    assert [one.result for one in found] == ["pass"] * 2, found
