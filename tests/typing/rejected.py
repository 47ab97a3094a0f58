"""Invalid code of an application: mypy and pyright, both strict, reject each marked line."""

import afnio_tellurio as te

te.no_such_name  # rejected
te.init("acme")  # rejected
te.init("acme", 3)  # rejected
te.init("acme", "Digits", status=3)  # rejected
te.init("acme", "Digits", colour="red")  # rejected
te.create_project("acme")  # rejected
te.create_project("acme", "Digits", None)  # rejected
te.list_projects()  # rejected
te.delete_run("acme", "Digits")  # rejected
te.get_project("acme", "digits").slug  # rejected
te.log("loss")  # rejected
te.log(3, 0.5)  # rejected
te.log("loss", 0.5, step=1.5)  # rejected
te.log("loss", 0.5, client="https://example.com")  # rejected
te.log_metrics([("loss", 0.5)])  # rejected
te.log_metrics({3: 0.5})  # rejected
te.finish(te.RunStatus.FAILED)  # rejected
te.finish(status=True)  # rejected
te.flush("soon")  # rejected
te.RunStatus.DONE  # rejected

run = te.get_active_run()
run.log("loss", 0.5, "3")  # rejected
run.metrics(3)  # rejected
run.metrics().steps  # rejected
run.metrics("loss")["loss"]  # rejected
run.curve("loss", buckets="ten")  # rejected
run.curve("loss").steps  # rejected
run.update(name=3)  # rejected
run.update(status=te.RunStatus.FAILED)  # rejected
run.project.slug  # rejected
run.no_such_member  # rejected
run.flush().delivered  # rejected
number: int = run.name  # rejected
te.Run("uuid", "name")  # rejected
history = run.metrics("loss")
history.name = "other"  # rejected

te.log_artifact(3)  # rejected
te.log_artifact("folder", symlinks="all")  # rejected
te.log_artifact("folder", capture="move")  # rejected
te.log_artifact("folder", keep="3")  # rejected
te.use_artifact(b"data")  # rejected
te.log_prompt("judge", 3)  # rejected
te.log_prompt("judge", ["text"])  # rejected
te.log_prompt("judge", "text", parents=[3])  # rejected
te.get_prompt("judge", fallback=b"text")  # rejected
te.Artifact("data").add_bytes("text", "a")  # rejected
te.get_artifact("data").version.upper()  # rejected
te.get_artifact("data").open("a").write("text")  # rejected
te.log_image("samples")  # rejected
run.files()[0].bytes  # rejected

client = te.TellurioClient("https://example.com", port=1.5)  # rejected
client.login(3)  # rejected
client.get()  # rejected
te.TellurioClient.local(3)  # rejected
te.TellurioClient.local("runs.db", False)  # rejected

te.sync("acme")  # rejected
te.sync()[0].waiting  # rejected

try:
    te.init("acme", "Digits")
except te.DeliveryError as error:
    error.status_code  # rejected
