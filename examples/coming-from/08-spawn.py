# Answer at once, and do the rest beside the requests.
from gevent import monkey

monkey.patch_all()

import gevent


def send_mail(user_id):
    gevent.sleep(0.05)
    print(f"mail sent to {user_id}")


def handle_request(user_id):
    mails.append(gevent.spawn(send_mail, user_id))  # nobody learns of its errors
    return "202 Accepted"


mails = []
print(handle_request(7))
gevent.joinall(mails)  # what is not waited for ends with the process
